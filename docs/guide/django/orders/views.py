from django.db import router, transaction
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from orders.models import Order
from steady.again import run_again


@require_POST
@run_again
def create(request):
    """It touches nothing but the database, in one transaction: so it may run again if that did not happen."""
    with transaction.atomic(using=router.db_for_write(Order)):
        order = Order.objects.create(number=request.POST["number"])
    return JsonResponse({"id": order.id}, status=201)


@require_GET
def show(request, number):
    order = Order.objects.filter(number=number).first()
    if order is None:
        return HttpResponse(status=404)
    return JsonResponse({"number": order.number, "from": order._state.db})
