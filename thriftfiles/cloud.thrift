/**
 * The cloud service: who used how much.
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

/** The question itself is at fault: a window, a limit. */
exception BadQuestion {
    1: string message
}

/** The ledger cannot be asked now; the same question may be answered later. */
exception Unavailable {
    1: string message
}

service Cloud {
    list<UserStats> get_leaderboard(1: i32 start_time, 2: i32 end_time);
    list<UserStats> get_user_stats(1: i32 start_time, 2: i32 end_time, 3: string username);

    /* Added since 2014. */

    UsageReport get_usage(1: UsageQuestion question)
        throws (1: BadQuestion bad, 2: Unavailable unavailable);
}
