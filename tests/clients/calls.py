#!/usr/bin/env python3
"""Calls a Thrift door the way Python clients of 2014 and later do.

Runs every combination of transport, protocol and naming that the library has
(or those whose name holds --only), each on one connection: get_metrics, with
and without a key, set_hosts, an unknown method, the cloud service, and
get_metrics again. Prints a line per combination; exits 1 if one failed.
"""

import argparse
import itertools
import json
import sys
import traceback

HOSTS = [
    ("client-1", "first machine", "127.0.0.11"),
    ("client-2", "Größe 東京 \U0001f388", "127.0.0.12"),
    ("client-3", "", "::1"),
]
TIMEOUT_MS = 60_000


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Apache:
    """The thrift package with code generated from the files of 2014."""

    def __init__(self, options):
        sys.path.insert(0, options.generated)
        from thrift import Thrift
        from wb_services.cloud import Cloud
        from wb_services.hosts import Hosts, ttypes

        self.application_exception = Thrift.TApplicationException
        self.unknown_method = Thrift.TApplicationException.UNKNOWN_METHOD
        self.thrift, self.hosts, self.cloud, self.ttypes = Thrift, Hosts, Cloud, ttypes

    def combinations(self, options):
        protocols = ["binary", "accelerated", "compact", "compact-accelerated"]
        if options.non_strict:
            protocols.append("non-strict")
        for parts in itertools.product(["buffered", "framed"], protocols, ["plain", "multiplexed"]):
            yield " ".join(parts), parts

    def connect(self, options, parts):
        from thrift.protocol import TBinaryProtocol, TCompactProtocol, TMultiplexedProtocol
        from thrift.transport import TSocket, TTransport

        transport, protocol, naming = parts
        socket = TSocket.TSocket(options.address, options.port)
        socket.setTimeout(TIMEOUT_MS)
        wrap = TTransport.TFramedTransport if transport == "framed" else TTransport.TBufferedTransport
        transport = wrap(socket)
        protocol = {
            "binary": lambda t: TBinaryProtocol.TBinaryProtocol(t),
            "accelerated": lambda t: TBinaryProtocol.TBinaryProtocolAccelerated(t, fallback=False),
            "non-strict": lambda t: TBinaryProtocol.TBinaryProtocol(t, strictWrite=False),
            "compact": lambda t: TCompactProtocol.TCompactProtocol(t),
            "compact-accelerated": lambda t: TCompactProtocol.TCompactProtocolAccelerated(t, fallback=False),
        }[protocol](transport)
        name = lambda service: (
            TMultiplexedProtocol.TMultiplexedProtocol(protocol, service)
            if naming == "multiplexed"
            else protocol
        )
        transport.open()
        self.transport, self.reading, self.writing = transport, protocol, name("Hosts")
        return self.hosts.Client(name("Hosts")), self.cloud.Client(name("Cloud"))

    def host(self, host):
        return self.ttypes.Host(*host)

    def call_unknown(self):
        from thrift.Thrift import TMessageType, TType

        out = self.writing
        out.writeMessageBegin("launch", TMessageType.CALL, 77)
        out.writeStructBegin("launch_args")
        out.writeFieldBegin("target", TType.STRING, 1)
        out.writeString("moon")
        out.writeFieldEnd()
        out.writeFieldStop()
        out.writeStructEnd()
        out.writeMessageEnd()
        out.trans.flush()
        name, kind, sequence = self.reading.readMessageBegin()
        check((name, kind, sequence) == ("launch", TMessageType.EXCEPTION, 77), (name, kind, sequence))
        fault = self.application_exception()
        fault.read(self.reading)
        self.reading.readMessageEnd()
        raise fault


class Thriftpy2:
    """thriftpy2, which reads the files at run time."""

    def __init__(self, options):
        import thriftpy2
        from thriftpy2.thrift import TApplicationException

        self.application_exception = TApplicationException
        self.unknown_method = TApplicationException.UNKNOWN_METHOD
        self.files = {
            name: thriftpy2.load(f"{options.idl}/{name}.thrift", module_name=f"{name}_thrift")
            for name in ("hosts", "cloud")
        }

    def combinations(self, _options):
        # The C binary protocol and the C transports go together; the plain one
        # fails on them inside thriftpy2 0.7.1 (it writes a memoryview).
        for transport in ["buffered", "framed", "cybuffered", "cyframed"]:
            binary = "cybinary" if transport.startswith("cy") else "binary"
            for protocol in [binary, "compact"]:
                yield f"{transport} {protocol}", (transport, protocol)

    def connect(self, options, parts):
        from thriftpy2.protocol import binary, compact, cybin
        from thriftpy2.thrift import TClient
        from thriftpy2.transport import TSocket, buffered, framed
        from thriftpy2.transport.buffered import TCyBufferedTransportFactory
        from thriftpy2.transport.framed import TCyFramedTransportFactory

        transports = {
            "buffered": buffered.TBufferedTransportFactory,
            "framed": framed.TFramedTransportFactory,
            "cybuffered": TCyBufferedTransportFactory,
            "cyframed": TCyFramedTransportFactory,
        }
        protocols = {
            "binary": binary.TBinaryProtocolFactory,
            "cybinary": cybin.TCyBinaryProtocolFactory,
            "compact": compact.TCompactProtocolFactory,
        }
        socket = TSocket(options.address, options.port)
        socket.set_timeout(TIMEOUT_MS)
        self.transport = transports[parts[0]]().get_transport(socket)
        protocol = protocols[parts[1]]().get_protocol(self.transport)
        self.transport.open()
        self.client = TClient(self.files["hosts"].Hosts, protocol)
        return self.client, TClient(self.files["cloud"].Cloud, protocol)

    def host(self, host):
        return self.files["hosts"].Host(*host)

    def call_unknown(self):
        # A method of one service, sent under a name that no service has.
        service = self.files["hosts"].Hosts
        service.launch_args, service.launch_result = service.get_metrics_args, service.get_metrics_result
        service.thrift_services.append("launch")
        try:
            self.client.launch("moon")
        finally:
            service.thrift_services.remove("launch")


def check_metrics(found, expected, what):
    check(isinstance(found, dict), f"{what}: {found!r}")
    if expected is None:
        return
    shown = {name: [[p.time, p.value] for p in points] for name, points in found.items()}
    check(sorted(shown) == sorted(expected), f"{what}: the series are {sorted(shown)}")
    for name, points in expected.items():
        check(shown[name] == points, f"{what}: the points of {name} differ")


def check_failure(library, expected, call):
    """`expected` is "ok", or a part of the exception's sentence."""
    try:
        answer = call()
    except library.application_exception as fault:
        check(expected != "ok", f"failed: {fault.message}")
        check(expected in fault.message, f"another failure: {fault.message}")
        return
    check(expected == "ok", f"no failure but {answer!r}")


def check_usage(library, cloud, expected):
    everything = (0, 2**31 - 1)

    def shown(users):
        return [
            [u.cpu_time_seconds, u.total_uptime_seconds, u.instance_count, u.is_staff, u.username]
            for u in users
        ]

    found = shown(cloud.get_leaderboard(*everything))
    check(found == expected, f"the leaderboard is {found}")
    for user in expected:
        found = shown(cloud.get_user_stats(*everything, user[4]))
        check(found == [user], f"the user's stats are {found}")
    check(cloud.get_user_stats(*everything, "nobody") == [], "somebody is nobody")
    check(cloud.get_leaderboard(-(2**31), 0) == [], "somebody was there before 1970")
    check_failure(library, "must begin before it ends", lambda: cloud.get_leaderboard(1, 0))


def run(library, options, parts):
    hosts, cloud = library.connect(options, parts)
    try:
        check_metrics(hosts.get_metrics(options.host, options.key), options.metrics, "get_metrics")
        check_metrics(hosts.get_metrics(options.host, None), options.metrics, "without a key")
        given = [library.host(host) for host in HOSTS]
        check_failure(library, options.set_hosts, lambda: hosts.set_hosts(given))
        bad = [library.host(("a}\n", "x", "$(id)"))]
        check_failure(library, "2 faults in the list of hosts", lambda: hosts.set_hosts(bad))
        try:
            library.call_unknown()
            raise AssertionError("an unknown method was answered")
        except library.application_exception as fault:
            check(fault.type == library.unknown_method, f"{fault.type} {fault.message}")
        check_usage(library, cloud, options.usage)
        check_metrics(hosts.get_metrics(options.host, options.key), options.metrics, "at the end")
    finally:
        library.transport.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("door", help="ADDRESS:PORT")
    parser.add_argument("library", choices=["apache", "thriftpy2"])
    parser.add_argument("--generated", help="the folder that thrift --gen py filled")
    parser.add_argument("--idl", help="the folder of the Thrift files")
    parser.add_argument("--only", default="", help="a part of a combination's name")
    parser.add_argument("--non-strict", action="store_true", help="the door takes it")
    parser.add_argument("--host", default="vm-1", help="whose metrics are asked for")
    parser.add_argument("--key", default="*.*")
    parser.add_argument("--metrics", help="JSON file: name -> [[time, value or null], ...]")
    parser.add_argument("--set-hosts", default="ok", help='"ok" or a part of the failure')
    parser.add_argument("--usage", default="[]", help="the leaderboard of all time, as JSON")
    options = parser.parse_args()
    options.address, port = options.door.rsplit(":", 1)
    options.port = int(port)
    if options.metrics:
        with open(options.metrics) as file:
            options.metrics = json.load(file)

    options.usage = json.loads(options.usage)
    library = {"apache": Apache, "thriftpy2": Thriftpy2}[options.library](options)
    failed = passed = 0
    for name, parts in library.combinations(options):
        if options.only not in name:
            continue
        try:
            run(library, options, parts)
            passed += 1
            print(f"ok      {options.library} {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {options.library} {name}\n{traceback.format_exc()}")
    print(f"{passed} of {passed + failed} combinations")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
