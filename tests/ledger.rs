//! What listings become in the ledger, told as stories on both stores.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use common::ledger::{Ground, assert_sound, created, departed, off, seen, told, usage, vm};
use weather_balloon::model::EventKind::{Resized, Started, Stopped};
use weather_balloon::model::{
    Departure, GapRow, Instance, InstanceId, Owner, OwnerRank, Shape, Sighting, Size, Window,
};

const DAY: i64 = 86_400;

type Line = (&'static str, bool, Option<u32>, i64, Option<i64>);

async fn assert_story(ground: &Ground, expected: &[Line]) {
    let story = ground.story().await;
    let story: Vec<_> = story
        .iter()
        .map(|(user, counted, vcpus, from, to)| (user.as_str(), *counted, *vcpus, *from, *to))
        .collect();
    assert_eq!(story, expected, "{}", ground.name);
    assert_sound(&ground.rows().await);
}

#[tokio::test]
async fn active_days_0_to_10_and_20_to_30_are_twenty_days() {
    for ground in Ground::both().await {
        for (polled, at) in (0..=31 * DAY).step_by(43_200).enumerate() {
            let mine = vm("i-1", "alice", 4);
            let listing = match at / DAY {
                0..10 | 20..30 => vec![mine],
                _ => vec![off(mine)],
            };
            let events = [
                ("i-1", 10 * DAY, Stopped),
                ("i-1", 20 * DAY, Started),
                ("i-1", 30 * DAY, Stopped),
            ];
            ground.see(&format!("run {polled}"), &told(at, listing, vec![], &events), at).await;
        }
        let rows = ground.rows().await;
        let expected = (20 * DAY, 80 * DAY, 1);
        assert_eq!(usage(&rows, 0, 40 * DAY), expected, "{}", ground.name);
        assert_sound(&rows);
    }
}

#[tokio::test]
async fn events_cut_at_their_times_and_listings_at_theirs() {
    for ground in Ground::both().await {
        let mine = || created(50, vm("i-1", "alice", 2));
        ground.see("1", &seen(100, vec![mine()]), 100).await;
        let events = [("i-1", 300, Stopped), ("i-1", 400, Started), ("i-1", 400, Started)];
        ground.see("2", &told(700, vec![mine()], vec![], &events), 700).await;
        // The overlap tells them again; nothing is new.
        let again = ground.see("3", &told(1300, vec![mine()], vec![], &events), 1300).await;
        assert_eq!(again.touched, []);
        // No event: the listing's own time.
        ground.see("4", &seen(1900, vec![off(mine())]), 1900).await;
        ground.see("5", &seen(2500, vec![mine()]), 2500).await;
        let expected: [Line; 5] = [
            ("alice", true, Some(2), 100, Some(300)),
            ("alice", false, Some(2), 300, Some(400)),
            ("alice", true, Some(2), 400, Some(1900)),
            ("alice", false, Some(2), 1900, Some(2500)),
            ("alice", true, Some(2), 2500, None),
        ];
        assert_story(&ground, &expected).await;
    }
}

#[tokio::test]
async fn a_creation_after_the_last_listing_is_the_beginning() {
    for ground in Ground::both().await {
        ground.see("1", &seen(1000, vec![created(10, vm("old", "a", 1))]), 1000).await;
        let listing = vec![
            created(10, vm("old", "a", 1)),
            created(1200, vm("new", "b", 1)),
            // The last listing did not show it, although it says it was there.
            created(900, vm("unseen", "c", 1)),
            created(1100, off(vm("built", "d", 1))),
            created(1100, vm("told", "e", 1)),
        ];
        ground.see("2", &told(1600, listing, vec![], &[("told", 1150, Started)]), 1600).await;
        let mut story = ground.story().await;
        story.sort();
        let from: Vec<_> = story.iter().map(|line| (line.0.as_str(), line.1, line.3)).collect();
        let expected = [
            ("a", true, 1000),
            ("b", true, 1200),
            ("c", true, 1600),
            ("d", false, 1100),
            ("e", true, 1150),
        ];
        assert_eq!(from, expected, "{}", ground.name);
    }
}

#[tokio::test]
async fn a_resize_changes_vcpus_at_its_time() {
    for ground in Ground::both().await {
        ground.see("1", &seen(100, vec![vm("i-1", "alice", 2)]), 100).await;
        let events = [("i-1", 400, Resized), ("i-1", 500, Resized)];
        let changes =
            ground.see("2", &told(700, vec![vm("i-1", "alice", 8)], vec![], &events), 700).await;
        assert_eq!(changes.tally.resized, 1);
        ground.see("3", &seen(1300, vec![vm("i-1", "alice", 4)]), 1300).await;
        let expected: [Line; 3] = [
            ("alice", true, Some(2), 100, Some(500)),
            ("alice", true, Some(8), 500, Some(1300)),
            ("alice", true, Some(4), 1300, None),
        ];
        assert_story(&ground, &expected).await;
        assert_eq!(usage(&ground.rows().await, 0, 1400).2, 1);
    }
}

#[tokio::test]
async fn what_was_not_known_is_learned_and_what_was_known_is_kept() {
    for ground in Ground::both().await {
        let blind = || Instance {
            shape: Shape { size: Size::default(), ..vm("i-1", "alice", 4).shape },
            ..vm("i-1", "alice", 4)
        };
        ground.see("1", &seen(100, vec![blind()]), 100).await;
        ground.see("2", &seen(700, vec![off(blind())]), 700).await;
        ground.see("3", &seen(1300, vec![vm("i-1", "alice", 4)]), 1300).await;
        ground.see("4", &seen(1900, vec![blind()]), 1900).await;
        let expected: [Line; 3] = [
            ("alice", true, Some(4), 100, Some(700)),
            ("alice", false, Some(4), 700, Some(1300)),
            ("alice", true, Some(4), 1300, None),
        ];
        assert_story(&ground, &expected).await;
    }
}

#[tokio::test]
async fn an_absence_ends_when_a_second_listing_agrees() {
    for ground in Ground::both().await {
        let (a, b) = (|| vm("a", "alice", 1), || vm("b", "bob", 1));
        ground.see("1", &seen(1000, vec![a(), b()]), 1000).await;
        let first = ground.see("2", &seen(1600, vec![b()]), 1600).await;
        assert_eq!((first.tally.missing, first.tally.gone_unexplained), (1, 0));
        // Too soon to tell.
        let second = ground.see("3", &seen(1899, vec![b()]), 1899).await;
        assert_eq!((second.tally.missing, second.tally.gone_unexplained), (1, 0));
        let third = ground.would(&seen(1900, vec![b()]), 1900).await;
        assert_eq!((third.tally.missing, third.tally.gone_unexplained), (0, 1));
        assert_eq!(third.unexplained().count(), 1);
        // Held: it stays, and is raised again.
        let mut held = third.clone();
        assert_eq!(held.hold(|_| true), 1);
        assert_eq!((held.tally.missing, held.tally.gone_unexplained), (1, 0));
        ground.store.apply(&ground.lease, "held", held.into()).await.unwrap();
        assert_eq!(ground.story().await[0].4, None);
        let released = ground.see("4", &seen(2500, vec![b()]), 2500).await;
        assert_eq!(released.tally.gone_unexplained, 1);
        let expected: [Line; 2] =
            [("alice", true, Some(1), 1000, Some(1600)), ("bob", true, Some(1), 1000, None)];
        assert_story(&ground, &expected).await;
        // Back after all: the time between is not billed.
        let back = ground.see("5", &seen(3100, vec![a(), b()]), 3100).await;
        assert_eq!((back.tally.returned, back.tally.new), (1, 0));
        let expected: [Line; 3] = [
            ("alice", true, Some(1), 1000, Some(1600)),
            ("alice", true, Some(1), 3100, None),
            ("bob", true, Some(1), 1000, None),
        ];
        assert_story(&ground, &expected).await;
        assert_eq!(usage(&ground.rows().await, 0, 4000), (4500, 4500, 2));
    }
}

#[tokio::test]
async fn a_hiccup_of_one_listing_is_healed() {
    for ground in Ground::both().await {
        let mine = || created(900, vm("i-1", "alice", 2));
        ground.see("1", &seen(1000, vec![mine()]), 1000).await;
        ground.see("2", &seen(1600, vec![]), 1600).await;
        let back = ground.see("3", &seen(2200, vec![mine()]), 2200).await;
        assert_eq!(back.tally.returned, 1);
        assert_story(&ground, &[("alice", true, Some(2), 1000, None)]).await;
    }
}

#[tokio::test]
async fn a_clouds_own_word_ends_at_once_and_at_its_time() {
    for ground in Ground::both().await {
        let all = || ["told", "unknown", "missing", "guessed"].map(|id| vm(id, id, 1)).to_vec();
        ground.see("1", &seen(1000, all()), 1000).await;
        let stay = vec![vm("missing", "missing", 1), vm("guessed", "guessed", 1)];
        let gone = vec![departed("told", Some(1234), None), departed("unknown", None, None)];
        let changes = ground.see("2", &told(1600, stay, gone, &[]), 1600).await;
        assert_eq!(changes.tally.gone_explained, 2);
        ground.see("3", &seen(2200, vec![]), 2200).await;
        // One is explained while it is missing, one after it was ended at a guess.
        let gone = vec![departed("missing", Some(2100), None)];
        let changes = ground.see("4", &told(2800, vec![], gone, &[]), 2800).await;
        assert_eq!((changes.tally.gone_explained, changes.tally.gone_unexplained), (1, 1));
        let gone = || vec![departed("guessed", Some(2050), Some(vm("guessed", "x", 1)))];
        ground.see("5", &told(3400, vec![], gone(), &[]), 3400).await;
        // Some clouds list what they ended for an hour.
        let again = ground.see("6", &told(4000, vec![], gone(), &[]), 4000).await;
        assert_eq!((again.touched.len(), again.new.len()), (0, 0));
        let expected: [Line; 4] = [
            ("guessed", true, Some(1), 1000, Some(2050)),
            ("missing", true, Some(1), 1000, Some(2100)),
            ("told", true, Some(1), 1000, Some(1234)),
            ("unknown", true, Some(1), 1000, Some(1600)),
        ];
        let mut story = ground.story().await;
        story.sort();
        let story: Vec<_> =
            story.iter().map(|line| (line.0.as_str(), line.1, line.2, line.3, line.4)).collect();
        assert_eq!(story, expected, "{}", ground.name);
    }
}

#[tokio::test]
async fn what_lived_between_two_listings_is_billed() {
    for ground in Ground::both().await {
        let short = |from| created(from, vm("short", "alice", 2));
        let gone = |from, at| vec![departed("short", Some(at), Some(short(from)))];
        // The first listing of a cloud says nothing of the time before it.
        ground.see("1", &told(1000, vec![], gone(500, 800), &[]), 1000).await;
        assert_story(&ground, &[]).await;
        ground.see("2", &told(1600, vec![], gone(1100, 1400), &[]), 1600).await;
        let again = ground.see("3", &told(2200, vec![], gone(1100, 1400), &[]), 2200).await;
        assert_eq!(again.new, []);
        assert_story(&ground, &[("alice", true, Some(2), 1100, Some(1400))]).await;
    }
}

#[tokio::test]
async fn another_creation_is_another_incarnation() {
    for ground in Ground::both().await {
        let life = |from| created(from, vm("i-1", "alice", 1));
        ground.see("1", &seen(1000, vec![life(900)]), 1000).await;
        ground.see("2", &seen(1600, vec![life(1300)]), 1600).await;
        ground.see("3", &seen(2200, vec![life(900)]), 2200).await;
        let expected: [Line; 3] = [
            ("alice", true, Some(1), 1000, Some(1300)),
            ("alice", true, Some(1), 2200, None),
            ("alice", true, Some(1), 1300, Some(2200)),
        ];
        assert_story(&ground, &expected).await;
        assert_eq!(usage(&ground.rows().await, 0, 3000), (2000, 2000, 2), "{}", ground.name);
    }
}

#[tokio::test]
async fn a_better_source_of_the_owner_counts_for_the_whole_life() {
    for ground in Ground::both().await {
        let owned =
            |rank, name| Instance { owner: Owner::new(rank, name).unwrap(), ..vm("i-1", "x", 2) };
        ground.see("1", &seen(1000, vec![owned(OwnerRank::Id, "u-77")]), 1000).await;
        ground.see("2", &seen(1600, vec![off(owned(OwnerRank::Id, "other"))]), 1600).await;
        let before = ground.rows().await;
        let better =
            ground.see("3", &seen(2200, vec![owned(OwnerRank::Creator, "alice")]), 2200).await;
        assert_eq!(better.tally.owner_replaced, 1);
        for (run, rank, name) in [
            ("4", OwnerRank::Creator, "mallory"),
            ("5", OwnerRank::UserName, "service"),
            ("6", OwnerRank::Id, "u-77"),
        ] {
            ground.see(run, &seen(2200 + 600, vec![owned(rank, name)]), 2800).await;
        }
        let expected: [Line; 3] = [
            ("alice", true, Some(2), 1000, Some(1600)),
            ("alice", false, Some(2), 1600, Some(2200)),
            ("alice", true, Some(2), 2200, None),
        ];
        assert_story(&ground, &expected).await;
        // A reader that had read on sees the old segments again.
        let newest = before.values().map(|row| row.revision).max().unwrap();
        let rows = ground.rows().await;
        assert!(rows.values().all(|row| row.revision > newest));
    }
}

#[tokio::test]
async fn a_better_owner_is_learned_of_what_is_gone() {
    for ground in Ground::both().await {
        let owned =
            |rank, name| Instance { owner: Owner::new(rank, name).unwrap(), ..vm("i-1", "x", 2) };
        ground.see("1", &seen(1000, vec![owned(OwnerRank::Id, "u-77")]), 1000).await;
        for (run, at, rank, name) in [
            ("2", 1600, OwnerRank::Id, "u-77"),
            ("3", 2200, OwnerRank::UserName, "alice"),
            ("4", 2800, OwnerRank::UserName, "mallory"),
        ] {
            let record = Some(off(owned(rank, name)));
            let gone = Departure { id: InstanceId::parse("i-1").unwrap(), at: Some(1200), record };
            let sighting = Sighting::new("east", at, at, vec![], vec![gone], vec![]).unwrap();
            ground.see(run, &sighting, at).await;
        }
        assert_story(&ground, &[("alice", true, Some(2), 1000, Some(1200))]).await;
    }
}

#[tokio::test]
async fn a_gap_is_on_record_and_doubt_is_not_billed() {
    for ground in Ground::both().await {
        let before = ["runs", "stopped", "gone"].map(|id| created(1, vm(id, id, 1))).to_vec();
        ground.see("1", &seen(1000, before), 1000).await;
        ground
            .see(
                "2",
                &seen(
                    1600,
                    ["runs", "stopped", "gone"].map(|id| created(1, vm(id, id, 1))).to_vec(),
                ),
                1600,
            )
            .await;
        let after = || {
            vec![
                created(1, vm("runs", "runs", 1)),
                created(1, off(vm("stopped", "stopped", 1))),
                created(50_000, vm("born", "born", 1)),
            ]
        };
        let changes = ground.see("3", &seen(100_000, after()), 100_000).await;
        assert_eq!(changes.gap, Some(Window::new(1600, 100_000).unwrap()));
        ground.see("4", &seen(100_600, after()), 100_600).await;
        let mut story = ground.story().await;
        story.sort();
        let story: Vec<_> = story.iter().map(|l| (l.0.as_str(), l.1, l.2, l.3, l.4)).collect();
        let expected: [Line; 5] = [
            ("born", true, Some(1), 50_000, None),
            ("gone", true, Some(1), 1000, Some(1600)),
            ("runs", true, Some(1), 1000, None),
            ("stopped", false, Some(1), 1600, None),
            ("stopped", true, Some(1), 1000, Some(1600)),
        ];
        assert_eq!(story, expected, "{}", ground.name);
        let gaps = ground.store.gaps(Window::new(0, 1_000_000).unwrap()).await.unwrap();
        let cloud = ground.store.clouds_since(0).await.unwrap()[0].id;
        assert_eq!(gaps, [GapRow { cloud, from: 1600, to: 100_000 }]);
        for (from, to) in [(0, 1600), (100_000, 200_000)] {
            let gaps = ground.store.gaps(Window::new(from, to).unwrap()).await.unwrap();
            assert_eq!(gaps, [], "{}: {from} to {to}", ground.name);
        }
    }
}

#[tokio::test]
async fn clocks_that_step_invent_nothing() {
    for ground in Ground::both().await {
        let mine = || vm("i-1", "alice", 1);
        ground.see("1", &seen(100_000, vec![mine()]), 100_000).await;
        // The cloud's clock goes back an hour: the ledger's time stands.
        let back = ground.see("2", &seen(97_000, vec![off(mine())]), 100_600).await;
        assert!(back.stepped);
        ground.see("3", &seen(97_600, vec![mine()]), 101_200).await;
        ground.see("4", &seen(98_200, vec![]), 101_800).await;
        ground.see("5", &seen(98_800, vec![]), 102_400).await;
        assert_story(&ground, &[("alice", true, Some(1), 100_000, None)]).await;
        // Right again, and ahead by a year: no later than our clock and five minutes.
        ground.see("6", &seen(103_000, vec![mine()]), 103_000).await;
        let ahead = ground.see("7", &seen(103_600 + 31_536_000, vec![off(mine())]), 103_600).await;
        assert_eq!((ahead.at, ahead.gap), (103_900, None));
        ground.see("8", &seen(104_200, vec![off(mine())]), 104_200).await;
        let expected: [Line; 2] = [
            ("alice", true, Some(1), 100_000, Some(103_900)),
            ("alice", false, Some(1), 103_900, None),
        ];
        assert_story(&ground, &expected).await;
        // Our clock leaps by a day: that confirms no absence.
        ground.see("9", &seen(104_800, vec![]), 104_800).await;
        let leap = ground.see("10", &seen(104_900, vec![]), 104_900 + DAY).await;
        assert_eq!((leap.tally.missing, leap.tally.gone_unexplained), (1, 0));
        // And back: it waits from there.
        let fell = ground.see("11", &seen(105_500, vec![]), 105_500).await;
        assert_eq!((fell.tally.missing, fell.tally.gone_unexplained), (1, 0));
        let end = ground.see("12", &seen(106_100, vec![]), 106_100).await;
        assert_eq!(end.tally.gone_unexplained, 1);
    }
}

#[tokio::test]
async fn an_end_before_the_beginning_leaves_nothing() {
    for ground in Ground::both().await {
        ground.see("1", &seen(1000, vec![vm("i-1", "alice", 1)]), 1000).await;
        let before = ground.rows().await;
        let gone = || vec![departed("i-1", Some(900), None)];
        ground.see("2", &told(1600, vec![], gone(), &[]), 1600).await;
        assert_story(&ground, &[]).await;
        // Whoever had read it hears that it is to be forgotten.
        let rows = ground.rows().await;
        let newest = before.values().map(|row| row.revision).max().unwrap();
        assert!(rows.values().all(|row| row.deleted && row.revision > newest));
        // Its id is free for a life that goes on.
        ground.see("3", &seen(2200, vec![vm("i-1", "alice", 1)]), 2200).await;
        assert_story(&ground, &[("alice", true, Some(1), 2200, None)]).await;
    }
}
