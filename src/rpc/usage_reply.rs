//! The replies of the cloud service. The leaderboard's is written by hand: it
//! has a struct for every user there is.

use std::time::SystemTime;

use thrift::ApplicationError;

use crate::usage::{Group, Report};

use super::call::{Failure, Method, Reply};
use super::detect::Encoding;
use super::encode::{Addressee, Replay};
use super::pen::{AROUND, Pen, reply};
use super::wire::cloud as wire;
use super::{cloud_answer, convert};

/// No encoding of UserStats needs more bytes.
pub(super) fn most_bytes(groups: &[Group]) -> usize {
    const USER: usize = 80;
    groups.iter().map(|group| USER + group.name.len()).fold(AROUND, usize::saturating_add)
}

/// A list of UserStats as a whole message, its frame's length included.
pub(super) fn encode(to: Addressee, method: Method, groups: &[Group]) -> Vec<u8> {
    reply(to, method, most_bytes(groups), |pen| match to.form.encoding {
        Encoding::Compact => {
            // Field 0, a list.
            pen.put([9, 0]);
            pen.compact_structs(groups.len());
            groups.iter().for_each(|group| compact(pen, group));
        }
        Encoding::Binary | Encoding::OldBinary => {
            // Field 0, a list of structs.
            pen.put([15, 0, 0, 12]);
            pen.binary_size(groups.len());
            groups.iter().for_each(|group| binary(pen, group));
        }
    })
}

fn binary(pen: &mut Pen<'_>, group: &Group) {
    for (id, number) in (1..).zip(plain(group)) {
        // An i32.
        pen.put([8, 0, id]);
        pen.put(number.to_be_bytes());
    }
    // Field 4, a bool; field 5, a string.
    pen.put([2, 0, 4, u8::from(group.is_staff == Some(true)), 11, 0, 5]);
    pen.binary_text(&group.name);
    for (id, number) in (6..).zip(exact(group)) {
        // An i64.
        pen.put([10, 0, id]);
        pen.put(number.to_be_bytes());
    }
    if let Some(unknown) = unknown(group) {
        pen.put([10, 0, 9]);
        pen.put(unknown.to_be_bytes());
    }
    pen.put([0]);
}

fn compact(pen: &mut Pen<'_>, group: &Group) {
    // Each field's id is one more than that before it.
    const NEXT: u8 = 1 << 4;
    for number in plain(group) {
        // An i32.
        pen.put([NEXT | 5]);
        pen.zigzag(number.into());
    }
    // True or false; a string.
    pen.put([NEXT | if group.is_staff == Some(true) { 1 } else { 2 }, NEXT | 8]);
    pen.compact_text(&group.name);
    for number in exact(group).into_iter().chain(unknown(group)) {
        // An i64.
        pen.put([NEXT | 6]);
        pen.zigzag(number);
    }
    pen.put([0]);
}

/// The fields of 2014 stop at the end of i32.
fn plain(group: &Group) -> [i32; 3] {
    exact(group).map(|number| i32::try_from(number).unwrap_or(i32::MAX))
}

fn exact(group: &Group) -> [i64; 3] {
    [group.cpu_seconds, group.uptime_seconds, group.instance_count]
}

fn unknown(group: &Group) -> Option<i64> {
    Some(group.unknown_vcpu_seconds).filter(|seconds| *seconds > 0)
}

fn report(report: &Report) -> wire::UsageReport {
    let count = |number: usize| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let rows = report.groups.iter().map(|group| wire::UsageRow {
        name: Some(group.name.to_string()),
        is_staff: group.is_staff,
        cpu_time_seconds: Some(group.cpu_seconds),
        total_uptime_seconds: Some(group.uptime_seconds),
        unknown_vcpu_seconds: unknown(group),
        instance_count: Some(group.instance_count),
    });
    let gaps = report.gaps.iter().map(|gap| wire::ObservationGap {
        cloud: Some(gap.cloud.to_string()),
        start_time: Some(gap.from),
        end_time: Some(gap.to),
    });
    wire::UsageReport {
        start_time: Some(report.window.start()),
        end_time: Some(report.window.end()),
        counted_until: Some(report.counted_until),
        rows: Some(rows.collect()),
        row_count: count(report.group_count),
        gaps: Some(gaps.collect()),
        gap_count: count(report.gap_count),
    }
}

/// The failure as the exception of its name.
fn declared(failure: Failure) -> thrift::Error {
    match failure {
        Failure::Application(kind, sentence) => ApplicationError::new(kind, sentence).into(),
        Failure::BadQuestion(message) => wire::BadQuestion { message: Some(message) }.into(),
        Failure::Unavailable(message) => wire::Unavailable { message: Some(message) }.into(),
        Failure::Invalid(_) | Failure::Held { .. } | Failure::Rejected(_) => {
            "another service's failure".into()
        }
    }
}

fn clouds(reply: Reply) -> Option<Vec<wire::CloudStatus>> {
    let Reply::Clouds(views) = reply else { return None };
    let now = convert::seconds(SystemTime::now());
    Some(views.iter().map(|view| cloud_answer::status(view, now)).collect())
}

impl wire::CloudSyncHandler for Replay {
    fn handle_get_leaderboard(&self, _: i32, _: i32) -> thrift::Result<Vec<wire::UserStats>> {
        Err("written by hand".into())
    }

    fn handle_get_user_stats(
        &self,
        _: i32,
        _: i32,
        _: String,
    ) -> thrift::Result<Vec<wire::UserStats>> {
        Err("written by hand".into())
    }

    fn handle_get_clouds(&self) -> thrift::Result<Vec<wire::CloudStatus>> {
        self.hand_out_or(declared, clouds)
    }

    fn handle_sync_cloud(&self, _: wire::CloudOrder) -> thrift::Result<Vec<wire::CloudStatus>> {
        self.hand_out_or(declared, clouds)
    }

    fn handle_release_cloud(&self, _: wire::CloudOrder) -> thrift::Result<Vec<wire::CloudStatus>> {
        self.hand_out_or(declared, clouds)
    }

    fn handle_get_usage(&self, _: wire::UsageQuestion) -> thrift::Result<wire::UsageReport> {
        let pick = |reply| match reply {
            Reply::Usage(found) => Some(report(&found)),
            _ => None,
        };
        self.hand_out_or(declared, pick)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use thrift::protocol::TBinaryInputProtocol;

    use super::*;
    use crate::rpc::encode::message;
    use crate::rpc::samples::forms;

    /// Answers get_leaderboard with what it holds.
    struct Board(Vec<wire::UserStats>);

    impl wire::CloudSyncHandler for Board {
        fn handle_get_clouds(&self) -> thrift::Result<Vec<wire::CloudStatus>> {
            Err("not asked".into())
        }

        fn handle_sync_cloud(&self, _: wire::CloudOrder) -> thrift::Result<Vec<wire::CloudStatus>> {
            Err("not asked".into())
        }

        fn handle_release_cloud(
            &self,
            _: wire::CloudOrder,
        ) -> thrift::Result<Vec<wire::CloudStatus>> {
            Err("not asked".into())
        }

        fn handle_get_leaderboard(&self, _: i32, _: i32) -> thrift::Result<Vec<wire::UserStats>> {
            Ok(self.0.clone())
        }
        fn handle_get_user_stats(
            &self,
            _: i32,
            _: i32,
            _: String,
        ) -> thrift::Result<Vec<wire::UserStats>> {
            Ok(self.0.clone())
        }
        fn handle_get_usage(&self, _: wire::UsageQuestion) -> thrift::Result<wire::UsageReport> {
            unreachable!()
        }
    }

    fn stats(group: &Group) -> wire::UserStats {
        let [cpu, uptime, instances] = plain(group);
        let [exact_cpu, exact_uptime, exact_instances] = exact(group);
        wire::UserStats {
            cpu_time_seconds: Some(cpu),
            total_uptime_seconds: Some(uptime),
            instance_count: Some(instances),
            is_staff: Some(group.is_staff == Some(true)),
            username: Some(group.name.to_string()),
            exact_cpu_time_seconds: Some(exact_cpu),
            exact_total_uptime_seconds: Some(exact_uptime),
            exact_instance_count: Some(exact_instances),
            unknown_vcpu_seconds: unknown(group),
        }
    }

    fn generated(to: Addressee, method: Method, groups: &[Group]) -> Vec<u8> {
        use wire::TCloudProcessFunctions as Process;

        const WINDOW: &[u8] = &[8, 0, 1, 0, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 0];
        const AND_USER: &[u8] =
            &[8, 0, 1, 0, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 11, 0, 3, 0, 0, 0, 0, 0];
        let board = Board(groups.iter().map(stats).collect());
        message(to, usize::MAX, &mut |out| {
            if method == Method::GetLeaderboard {
                let from = &mut TBinaryInputProtocol::new(WINDOW, true);
                return Process::process_get_leaderboard(&board, to.sequence, from, out);
            }
            let from = &mut TBinaryInputProtocol::new(AND_USER, true);
            Process::process_get_user_stats(&board, to.sequence, from, out)
        })
        .unwrap()
    }

    fn group() -> impl Strategy<Value = Group> {
        let number = || prop_oneof![0..100_i64, 0..=i64::MAX, Just(i64::from(i32::MAX) + 1)];
        (".{0,80}", any::<Option<bool>>(), [number(), number(), number(), number()]).prop_map(
            |(name, is_staff, [cpu_seconds, uptime_seconds, unknown_vcpu_seconds, instances])| {
                Group {
                    name: name.into(),
                    is_staff,
                    cpu_seconds,
                    uptime_seconds,
                    unknown_vcpu_seconds,
                    instance_count: instances,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn users_are_written_as_the_generated_code_writes_them(
            groups in proptest::collection::vec(group(), 0..40),
            sequence in any::<i32>(),
        ) {
            for form in forms() {
                let to = Addressee { form, sequence };
                for method in [Method::GetLeaderboard, Method::GetUserStats] {
                    let by_hand = encode(to, method, &groups);
                    prop_assert!(by_hand == generated(to, method, &groups), "{:?}", to);
                }
            }
        }
    }

    #[test]
    fn the_numbers_of_2014_stop_and_never_wrap() {
        let heavy = Group {
            name: "a".into(),
            is_staff: None,
            cpu_seconds: i64::MAX,
            uptime_seconds: i64::from(i32::MAX) + 1,
            unknown_vcpu_seconds: 0,
            instance_count: i64::from(i32::MAX),
        };
        let told = stats(&heavy);
        assert_eq!(told.cpu_time_seconds, Some(i32::MAX));
        assert_eq!(told.total_uptime_seconds, Some(i32::MAX));
        assert_eq!(told.instance_count, Some(i32::MAX));
        assert_eq!(told.is_staff, Some(false));
        assert_eq!(told.exact_cpu_time_seconds, Some(i64::MAX));
        assert_eq!(told.exact_total_uptime_seconds, Some(1 << 31));
        assert_eq!(told.unknown_vcpu_seconds, None);
    }
}
