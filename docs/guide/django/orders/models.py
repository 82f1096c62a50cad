from django.db import models


class Order(models.Model):
    number = models.CharField(max_length=64, db_index=True)
    at = models.DateTimeField(auto_now_add=True)
