/* The hosts service as clients of 2014 know it. */
namespace py wb_services.hosts

struct Host {
    1: string id,
    2: string display_name,
    3: string address
}

struct Datapoint {
    1: i64 time,
    2: double value
}

typedef map<string, list<Datapoint>> Metrics

service Hosts {
    void set_hosts(1: list<Host> hosts);
    Metrics get_metrics(1: string host_name, 2: string key);
}
