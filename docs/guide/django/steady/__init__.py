"""What a Django project needs to stay up while its database's primary changes. Copy this folder.

pin    reads go to the replicas, but not those of who has just written
again  a request is run once more where nothing of it happened
ask    for the simple shape without a listener: which server is the primary
"""
