//! A ledger in memory that keeps what `Changes` say, for more rounds than a
//! database could keep. The stores are held to the same rules on real
//! databases elsewhere.

#![allow(clippy::unwrap_used, reason = "a rig fails the test by panicking")]

use std::collections::{BTreeMap, HashMap};

use weather_balloon::cloud::{CloudName, unknown_to};
use weather_balloon::ledger::{Changes, KeptSegment, Known, Listed, Presence, View};
use weather_balloon::model::{HostSet, InstanceId, Segment, Sighting};

pub struct Ledger {
    live: View,
    ids: BTreeMap<i64, String>,
    segments: BTreeMap<i64, (i64, Segment)>,
    last_row: i64,
    last_segment: i64,
}

impl Ledger {
    pub fn new(cloud: &str) -> Self {
        Self {
            live: View { cloud: cloud.into(), ..View::default() },
            ids: BTreeMap::new(),
            segments: BTreeMap::new(),
            last_row: 0,
            last_segment: 0,
        }
    }

    /// With what is gone under an id that the sighting names, or that is
    /// watched and not known.
    pub fn view(&self, sighting: &Sighting, cloud: &CloudName, watched: &HostSet) -> View {
        let mut view = View { gone: HashMap::new(), ..self.live.clone() };
        let named: Vec<InstanceId> = sighting.named().map(|(id, _)| id.clone()).collect();
        for id in named.into_iter().chain(unknown_to(cloud, &view, watched)) {
            if let Some(lives) = self.live.gone.get(&id) {
                view.gone.insert(id, lives.clone());
            }
        }
        view
    }

    pub fn apply(&mut self, changes: &Changes) {
        assert_eq!(changes.listing, self.live.listing, "changes of another view");
        self.live.listing += 1;
        self.live.last = Some(Listed { at: changes.at, noticed: changes.now });
        for touched in &changes.touched {
            let row = touched.before.row;
            let id = InstanceId::parse(&self.ids[&row]).unwrap();
            let mut after = touched.after.clone();
            if let Some(rewritten) = &touched.rewritten {
                match &rewritten.segment {
                    Some(segment) => {
                        self.segments.insert(rewritten.id, (row, segment.clone()));
                        after.segment =
                            Some(KeptSegment { id: rewritten.id, segment: segment.clone() });
                    }
                    None => {
                        self.segments.remove(&rewritten.id);
                        after.segment = None;
                    }
                }
            }
            after.segment = self.open(row, &touched.opened).or(after.segment);
            self.live.live.remove(&id);
            let gone = self.live.gone.entry(id.clone()).or_default();
            gone.retain(|known| known.row != row);
            self.keep(id, after);
        }
        for new in &changes.new {
            self.last_row += 1;
            let row = self.last_row;
            self.ids.insert(row, new.instance.id.to_string());
            let segment = self.open(row, &new.segments);
            let known = Known {
                row,
                incarnation: new.incarnation,
                created: new.instance.created,
                owner: new.instance.owner.clone(),
                details: new.instance.details.clone(),
                presence: new.presence,
                segment,
            };
            self.keep(new.instance.id.clone(), known);
        }
    }

    fn open(&mut self, row: i64, segments: &[Segment]) -> Option<KeptSegment> {
        for segment in segments {
            self.last_segment += 1;
            self.segments.insert(self.last_segment, (row, segment.clone()));
        }
        let id = self.last_segment;
        segments.last().map(|segment| KeptSegment { id, segment: segment.clone() })
    }

    fn keep(&mut self, id: InstanceId, known: Known) {
        match known.presence {
            Presence::Gone { .. } => self.live.gone.entry(id).or_default().push(known),
            _ => drop(self.live.live.insert(id, known)),
        }
    }

    pub fn id_of(&self, row: i64) -> String {
        self.ids[&row].clone()
    }

    pub fn knows(&self, id: &str) -> bool {
        self.live.live.contains_key(&InstanceId::parse(id).unwrap())
    }

    /// Counted seconds of all lives of an id; absent where it is not known.
    pub fn billed(&self, id: &str, now: i64) -> Option<i64> {
        let rows: Vec<i64> =
            self.ids.iter().filter(|(_, known)| *known == id).map(|(row, _)| *row).collect();
        let of = self.segments.values().filter(|(row, one)| rows.contains(row) && one.counted);
        let seconds = |one: &Segment| one.to().map_or(now, |to| to.at) - one.from().at;
        (!rows.is_empty()).then(|| of.map(|(_, one)| seconds(one)).sum())
    }

    /// No two segments of a life overlap, and none is empty.
    pub fn assert_sound(&self) {
        let mut by_row: BTreeMap<i64, Vec<&Segment>> = BTreeMap::new();
        for (row, segment) in self.segments.values() {
            by_row.entry(*row).or_default().push(segment);
        }
        for mut segments in by_row.into_values() {
            segments.sort_by_key(|one| one.from().at);
            for pair in segments.windows(2) {
                let end = pair[0].to().map(|to| to.at);
                assert!(end.is_some_and(|end| end <= pair[1].from().at), "{pair:?} overlap");
            }
        }
    }
}
