/**
 * The cloud service: who used how much, and how the clouds are polled.
 *
 * get_leaderboard and get_user_stats, with fields 1 to 5 of UserStats, are as
 * they were in 2014 and never change. Everything else is an
 * addition.
 *
 * Windows are [start_time, end_time) in UTC seconds since 1970; nothing is
 * counted after now. The i32 fields stop at 2147483647 and never wrap; the
 * added fields hold the exact numbers. Every added field is optional, because
 * generated Rust reads an absent plain number as 0.
 */
namespace py wb_services.cloud

/**
 * The use of one user in all clouds; nobody without uptime is listed. CPU time
 * is uptime times the vCPUs at that time, where they are known.
 */
struct UserStats {
    1: i32 cpu_time_seconds,
    2: i32 total_uptime_seconds,
    3: i32 instance_count,
    4: bool is_staff,
    5: string username,
    6: optional i64 exact_cpu_time_seconds,
    7: optional i64 exact_total_uptime_seconds,
    8: optional i64 exact_instance_count,
    /** The part of the uptime whose vCPUs are not known; absent: none. */
    9: optional i64 unknown_vcpu_seconds
}

enum UsageGroup {
    USER = 0,
    CLOUD = 1,
    FLAVOR = 2,
    /** Days of UTC. */
    DAY = 3
}

enum UsageOrder {
    /** Most CPU time first, then by name. */
    CPU_TIME = 0,
    /** For days this is the order of time. */
    NAME = 1
}

/**
 * An absent end is now, an absent start 30 days before the end. All filters
 * that are given must hold; names must be the same in every character.
 */
struct UsageQuestion {
    1: optional i64 start_time,
    2: optional i64 end_time,
    3: optional string username,
    4: optional string cloud,
    5: optional string flavor,
    /** True: staff alone; false: all others. */
    6: optional bool staff,
    /** Absent: USER. */
    7: optional UsageGroup group_by,
    /** Absent: CPU_TIME, and NAME by days. */
    8: optional UsageOrder order,
    /** At most so many rows, the first in order; absent or 0: all. */
    9: optional i32 limit
}

/** One user, cloud, flavor or day (as 2026-01-31) with uptime. */
struct UsageRow {
    1: optional string name,
    /** Of users only. */
    2: optional bool is_staff,
    3: optional i64 cpu_time_seconds,
    4: optional i64 total_uptime_seconds,
    /** The part of the uptime whose vCPUs are not known; absent: none. */
    5: optional i64 unknown_vcpu_seconds,
    /** Different instances that were up. */
    6: optional i64 instance_count
}

/** A stretch of the window in which nobody saw the cloud. */
struct ObservationGap {
    1: optional string cloud,
    2: optional i64 start_time,
    3: optional i64 end_time
}

struct UsageReport {
    /** The window as it was asked for. */
    1: optional i64 start_time,
    2: optional i64 end_time,
    /** Where counting ended: the window's end, or now where that is earlier. */
    3: optional i64 counted_until,
    4: optional list<UsageRow> rows,
    /** How many rows there are without the limit. */
    5: optional i64 row_count,
    /** The latest 1000, oldest first; of the cloud alone that was asked for. */
    6: optional list<ObservationGap> gaps,
    7: optional i64 gap_count
}

/**
 * STARTING: the first poll is not over. POLLS: this appliance asks the cloud.
 * FOLLOWS: another one does, and its ledger is followed. NO_LEDGER: it asks,
 * and nothing is recorded, because the ledger cannot be used.
 */
enum CloudRole {
    STARTING = 0,
    POLLS = 1,
    FOLLOWS = 2,
    NO_LEDGER = 3
}

/** Who can do something about a failed poll. */
enum CloudBlame {
    CONFIGURATION = 0,
    CREDENTIALS = 1,
    /** Nobody: the cloud wants to be asked later. */
    THROTTLING = 2,
    /** The cloud's people, or the network between. */
    TROUBLE = 3
}

/** The cloud shows it no more and does not say why; it is kept. */
struct HeldInstance {
    1: optional string instance_id,
    /** As Nagios knows it. */
    2: optional string host_id,
    3: optional string address,
    /** The first complete listing without it, by the cloud's clock. */
    4: optional i64 since_time,
    5: optional i64 held_time,
    /** "brake": too many went at once; "witness": it answers Nagios. */
    6: optional string reason
}

/** It cannot be a host, or its record could not be read. */
struct SkippedInstance {
    1: optional string instance_id,
    2: optional string reason
}

/** Times are UTC seconds by the appliance's clock unless it says otherwise. */
struct CloudStatus {
    1: optional string name,
    2: optional string kind,
    /** False: it has hosts left and no section in the configuration. */
    3: optional bool configured,
    4: optional CloudRole role,
    5: optional i64 last_attempt_time,
    /** The last complete listing that was taken over. */
    6: optional i64 last_success_time,
    /** Seconds since then. */
    7: optional i64 lag_seconds,
    8: optional i64 next_poll_time,
    /** Milliseconds that the last listing took. */
    9: optional i64 took_ms,
    /** Why the last poll gave nothing; absent when it did. */
    10: optional string error,
    11: optional CloudBlame blame,
    /** What hinders the ledger while the cloud itself answers. */
    12: optional string trouble,
    13: optional i64 instance_count,
    14: optional i64 running_count,
    /** Handed to Nagios. */
    15: optional i64 watched_count,
    16: optional i64 without_address_count,
    /** Absent from the last listing and not believed to be gone. */
    17: optional i64 missing_count,
    18: optional i64 held_count,
    /** The first 1000. */
    19: optional list<HeldInstance> held,
    /** Names what is held; 0: nothing is. */
    20: optional i64 held_token,
    21: optional i64 skipped_count,
    /** The first 100. */
    22: optional list<SkippedInstance> skipped,
    /** Hosts that cannot stand beside those of another source. */
    23: optional list<string> clashes,
    /** Seconds by which the cloud's clock is ahead of the appliance's. */
    24: optional i64 skew_seconds
}

struct CloudOrder {
    /** To sync: absent means all. */
    1: optional string name,
    /**
     * To release: what was shown as held. Anything else that is held now
     * refuses the call. Absent: all that is held.
     */
    2: optional i64 held_token
}

/** The question itself is at fault: a window, a limit, a name. */
exception BadQuestion {
    1: string message
}

/** The ledger or a cloud cannot be asked now; the same question may be answered later. */
exception Unavailable {
    1: string message
}

service Cloud {
    list<UserStats> get_leaderboard(1: i32 start_time, 2: i32 end_time);
    list<UserStats> get_user_stats(1: i32 start_time, 2: i32 end_time, 3: string username);

    /* Added since 2014. */

    UsageReport get_usage(1: UsageQuestion question)
        throws (1: BadQuestion bad, 2: Unavailable unavailable);

    list<CloudStatus> get_clouds() throws (2: Unavailable unavailable);

    /** Polls now; returns when that is over. */
    list<CloudStatus> sync_cloud(1: CloudOrder order)
        throws (1: BadQuestion bad, 2: Unavailable unavailable);

    /**
     * Lets go what is held, once, and polls. Of a cloud that is no longer
     * configured all hosts go.
     */
    list<CloudStatus> release_cloud(1: CloudOrder order)
        throws (1: BadQuestion bad, 2: Unavailable unavailable);
}
