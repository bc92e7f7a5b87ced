/**
 * The hosts service: which machines Nagios watches, and what it measured.
 *
 * set_hosts and get_metrics, with the structs they use, are as they were in
 * 2014 and never change: clients generated then go on working. Everything
 * after the line in the service is an addition.
 *
 * Times are UTC seconds since 1970 unless a field says otherwise. Every added
 * field is optional, because generated Rust reads an absent plain number as 0.
 */
namespace py wb_services.hosts

struct Host {
    1: string id,
    2: string display_name,
    3: string address
}

/** A slot without a measurement has a time and no value. */
struct Datapoint {
    1: i64 time,
    2: double value
}

/** Metric name without its "nagios.<host>." head -> points, oldest first. */
typedef map<string, list<Datapoint>> Metrics

/**
 * PENDING: accepted, not yet on disk. LIVE: in the file that Nagios reads.
 * REJECTED: refused by `nagios -v`, or put back because Nagios died of it;
 * never resumed. SUPERSEDED: a later generation of its source took its place.
 */
enum GenerationState {
    PENDING = 0,
    LIVE = 1,
    REJECTED = 2,
    SUPERSEDED = 3
}

/** One replacement of one source's whole set. */
struct Generation {
    1: optional i64 number,
    /** "rpc", or "cloud:" and the cloud's name. */
    2: optional string source,
    3: optional GenerationState state,
    4: optional i64 created_time,
    /** When it reached the disk; absent if it never did. */
    5: optional i64 live_time,
    /** When Nagios had proved that it read it; absent until then. */
    6: optional i64 proved_time,
    7: optional i32 host_count,
    /** Why it was rejected, in the operator's words. */
    8: optional string reason,
    /** The caller asked to pass the brake and the quarantine. */
    9: optional bool forced,
    /** For a rollback: the generation whose set this is. */
    10: optional i64 restores
}

/** A host of the current union of all sources. */
struct WatchedHost {
    1: optional string id,
    /** As Nagios shows it. */
    2: optional string display_name,
    3: optional string address,
    /** The source that owns it, "rpc" or "cloud:NAME". */
    4: optional string source,
    /** False: recorded, but over max_hosts, so Nagios does not watch it. */
    5: optional bool watched,
    /** As the caller gave it, where that differs from display_name. */
    6: optional string given_name
}

/** What the appliance has written and what Nagios has proved to have read. */
struct HostsStatus {
    /** The newest generation whose set is on disk; absent before the first. */
    1: optional i64 live_generation,
    2: optional i32 watched_count,
    /** Recorded but over max_hosts. */
    3: optional i32 unwatched_count,
    /** Nagios has proved that it read the file on disk. */
    4: optional bool in_step,
    /** A restart of Nagios is still to come. */
    5: optional bool restart_due,
    /** Why the last restart or verification failed; absent when all is well. */
    6: optional string trouble,
    /** Restarts asked for since the appliance started. */
    7: optional i64 restarts,
    /** program_start of the running Nagios, from its status file. */
    8: optional i64 nagios_started_time,
    /** Milliseconds the last proved restart took. */
    9: optional i64 last_restart_ms
}

struct HostsView {
    1: optional HostsStatus status,
    /** Sorted by id. */
    2: optional list<WatchedHost> hosts
}

struct HostsDiff {
    1: optional list<Host> added,
    2: optional list<Host> removed,
    /** The new form of each. */
    3: optional list<Host> changed,
    4: optional i32 unchanged_count
}

/** AUTO: Graphite when [graphite] url is set, else the archive. */
enum MetricsSource {
    AUTO = 0,
    GRAPHITE = 1,
    ARCHIVE = 2
}

struct MetricsQuestion {
    1: optional string host_name,
    /** Parts separated by dots, each a name or "*"; absent or empty: "*.*". */
    2: optional string key,
    /** Default: 24 hours before end_time. */
    3: optional i64 start_time,
    /** Default: now. */
    4: optional i64 end_time,
    /** At most this many points a series, consolidated by average. */
    5: optional i32 max_points,
    /** Who is to answer; absent: AUTO. One never stands in for the other. */
    6: optional MetricsSource source
}

/** How one Carbon or the archive is served; counters since the appliance started. */
struct SinkStatus {
    /** The archive's is "archive". */
    1: optional string address,
    2: optional i64 lines,
    /** Lines that were passed over. */
    3: optional i64 bad_lines,
    4: optional i64 samples,
    /** Of the samples: sent again after a lost connection. */
    5: optional i64 resent,
    /** Batches that did not get through at the first attempt. */
    6: optional i64 failures,
    7: optional i64 last_receipt_time,
    /** Why nothing goes through now; absent when all is well. */
    8: optional string trouble
}

/** Nagios's performance data on its way to Carbon and the archive. */
struct PerfdataStatus {
    /** False: [perfdata] spool is empty. */
    1: optional bool enabled,
    /** Files in the spool, those that are kept for a replay too. */
    2: optional i64 files,
    /** What they take of the disk. */
    3: optional i64 bytes,
    /** When Nagios let go of the oldest file that a Carbon still needs. */
    4: optional i64 oldest_time,
    /** Went before every Carbon had them, because more than max_spool waited. */
    5: optional i64 lost_files,
    6: optional i64 lost_bytes,
    7: optional string trouble,
    8: optional list<SinkStatus> sinks,
    /** Points that a Carbon has taken do not appear in Graphite. */
    9: optional string read_back_trouble
}

enum Verdict {
    OK = 0,
    WARN = 1,
    FAIL = 2
}

/** A figure with its thresholds, as in the perfdata of a Nagios plugin. */
struct Figure {
    1: optional string label,
    2: optional double value,
    /** "", "s", "B", "%", or "c" for a counter. */
    3: optional string unit,
    /** Ranges of the Monitoring Plugins; absent: no threshold. */
    4: optional string warn,
    5: optional string fail
}

/** What was found at one hop of one part of the appliance. */
struct Finding {
    /** Such as "nagios", "carbon" or "disk"; "host" where one is followed. */
    1: optional string part,
    2: optional string hop,
    /** Apart from what the figures say by their thresholds. */
    3: optional Verdict verdict,
    /** In the operator's words. */
    4: optional string what,
    /** What to do; absent where nothing is wrong. */
    5: optional string fix,
    6: optional list<Figure> figures
}

/** The archive of measurements; counters since the appliance started. */
struct ArchiveStatus {
    /** False: no points go there, and none are kept. */
    1: optional bool enabled,
    2: optional string path,
    /** Of the file and its log. */
    3: optional i64 bytes,
    4: optional i64 series_count,
    5: optional i64 host_count,
    /** Points that a seal has not written out yet; a crash does not lose them. */
    6: optional i64 head_points,
    /** Of the newest point. */
    7: optional i64 newest_time,
    8: optional i64 last_seal_time,
    /** Found no room under max_series. */
    9: optional i64 refused_series,
    10: optional i64 refused_points,
    /** Too old or of the future. */
    11: optional i64 untimely_points,
    /** Left out because their checksum was wrong. */
    12: optional i64 broken_rows,
    /** The damaged file that was put aside last, while it is there. */
    13: optional string put_aside,
    /** Why it does not answer now; absent when all is well. */
    14: optional string trouble,
    /** The trouble is that it is still being opened. */
    15: optional bool starting,
    /** Seconds between two points of a series. */
    16: optional i64 step,
    /** The nodes above every host's node. */
    17: optional string prefix
}

/** Hosts whose measurements are to go from the archive. */
struct PruneQuestion {
    /** These. */
    1: optional list<string> host_names,
    /**
     * Without host_names: those that are not watched now and have no point at
     * or after this time.
     */
    2: optional i64 gone_before,
    /** Absent or false: nothing goes, the answer says what would. */
    3: optional bool apply
}

struct PrunedHost {
    /** The host's name in metric names. */
    1: optional string node,
    2: optional i64 series_count,
    3: optional i64 newest_time,
    /** New points will come. */
    4: optional bool watched
}

/** Values from elsewhere, in even steps. */
struct GivenSeries {
    1: optional string host_name,
    /** The metric's name without its "nagios.<host>." head. */
    2: optional string key,
    /** Of the first value. */
    3: optional i64 start_time,
    /** Seconds. */
    4: optional i64 step,
    /** NaN: nothing was measured. */
    5: optional list<double> values
}

/** What became of given values. */
struct Imported {
    1: optional i64 kept,
    /** Passed over, because the archive has a value for that slot. */
    2: optional i64 known,
    /** No room under max_series. */
    3: optional i64 refused,
    /** Older than what is kept, or of the future. */
    4: optional i64 untimely
}

/** The set breaks the grammar: nothing was changed. */
exception InvalidHosts {
    1: string message,
    /** One sentence a fault, the first 100 of them. */
    2: list<string> faults
}

/** The change would remove too many hosts: nothing was changed. */
exception HeldByBrake {
    1: string message,
    2: i32 removed_count,
    3: i32 current_count
}

/** Nagios refused the configuration: nothing was changed. */
exception RejectedByNagios {
    1: string message
}

/** The question cannot be answered as it stands. */
exception BadQuestion {
    1: string message
}

/** Try again later; the message says what is missing and what to do. */
exception Unavailable {
    1: string message
}

service Hosts {
    void set_hosts(1: list<Host> hosts);
    Metrics get_metrics(1: string host_name, 2: string key);

    /* Added since 2014. */

    /**
     * set_hosts with an answer: the generation that is live. With force it
     * passes the brake and a quarantine.
     */
    Generation replace_hosts(1: list<Host> hosts, 2: bool force)
        throws (1: InvalidHosts invalid, 2: HeldByBrake held,
                3: RejectedByNagios rejected, 4: Unavailable unavailable);

    /** What replace_hosts would change in the RPC's set; changes nothing. */
    HostsDiff diff_hosts(1: list<Host> hosts)
        throws (1: InvalidHosts invalid, 2: Unavailable unavailable);

    HostsView get_hosts() throws (1: Unavailable unavailable);

    HostsStatus get_status() throws (1: Unavailable unavailable);

    PerfdataStatus get_perfdata_status() throws (1: Unavailable unavailable);

    /** Newest first; limit 0 means all that are kept. */
    list<Generation> get_history(1: i32 limit)
        throws (1: Unavailable unavailable);

    /** Replaces the RPC's set by that of an earlier generation of the RPC. */
    Generation rollback(1: i64 generation, 2: bool force)
        throws (1: BadQuestion question, 2: HeldByBrake held,
                3: RejectedByNagios rejected, 4: Unavailable unavailable,
                5: InvalidHosts invalid);

    Metrics query_metrics(1: MetricsQuestion question)
        throws (1: BadQuestion question_fault, 2: Unavailable unavailable);

    /** How the appliance is; an empty part means all of it. */
    list<Finding> inspect(1: string part)
        throws (1: BadQuestion question, 2: Unavailable unavailable);

    /**
     * Follows one host from its source to its newest measurement, up to the
     * first hop that is broken.
     */
    list<Finding> trace_host(1: string host_name)
        throws (1: BadQuestion question, 2: Unavailable unavailable);
    ArchiveStatus get_archive_status() throws (1: Unavailable unavailable);

    /** Sorted by node. */
    list<PrunedHost> prune_metrics(1: PruneQuestion question)
        throws (1: BadQuestion question_fault, 2: Unavailable unavailable);

    /** Into the gaps of the archive; the same values once more change nothing. */
    Imported import_metrics(1: list<GivenSeries> series)
        throws (1: BadQuestion question_fault, 2: Unavailable unavailable);
}
