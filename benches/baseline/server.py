"""The hosts service on Thrift's simplest Python server, for comparison only.

usage: server.py GENERATED GRAPHITE_URL

One connection after another, the pure Python binary protocol, one GET with
requests for each get_metrics. set_hosts only counts.
"""
import sys

sys.path.insert(0, sys.argv[1])

import requests
from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.server.TServer import TSimpleServer
from thrift.transport.TSocket import TServerSocket
from thrift.transport.TTransport import TFramedTransportFactory
from wb_services.hosts import Hosts
from wb_services.hosts.ttypes import Datapoint

URL = sys.argv[2] + "/render"


class Handler:
    def __init__(self):
        self.count = 0

    def set_hosts(self, hosts):
        self.count = len(hosts)

    def get_metrics(self, host_name, key):
        head = "nagios.%s." % host_name
        question = {"target": head + (key or "*.*"), "format": "json"}
        answer = requests.get(URL, params=question).json()
        return {
            series["target"][len(head):]: [
                Datapoint(time=time, value=value) for value, time in series["datapoints"]
            ]
            for series in answer
        }


socket = TServerSocket("127.0.0.1", 0)
socket.listen()
print("listening on 127.0.0.1:%d" % socket.handle.getsockname()[1], flush=True)
# serve() would bind another port.
socket.listen = lambda: None
TSimpleServer(
    Hosts.Processor(Handler()), socket, TFramedTransportFactory(), TBinaryProtocolFactory()
).serve()
