//! A ledger in memory that keeps what `Changes` say, for more rounds than a
//! database could keep. The stores are held to the same rules on real
//! databases elsewhere.

use std::collections::{BTreeMap, HashMap};

use weather_balloon::cloud::{CloudName, unknown_to};
use weather_balloon::ledger::{Changes, KeptSegment, Known, Listed, Presence, Roster, View};
use weather_balloon::model::{HostSet, InstanceId, Segment, Sighting};

use super::super::ledger::roster_of;
use super::truth::Stretch;

pub struct Ledger {
    live: View,
    ids: BTreeMap<i64, InstanceId>,
    rows: BTreeMap<InstanceId, Vec<i64>>,
    /// By row, then by their own ids.
    segments: BTreeMap<i64, BTreeMap<i64, Segment>>,
    last_row: i64,
    last_segment: i64,
}

impl Ledger {
    pub fn new(cloud: &str) -> Self {
        Self {
            live: View { cloud: cloud.into(), ..View::default() },
            ids: BTreeMap::new(),
            rows: BTreeMap::new(),
            segments: BTreeMap::new(),
            last_row: 0,
            last_segment: 0,
        }
    }

    /// Who lives, as a store tells it.
    pub fn roster(&self) -> Roster {
        roster_of(&self.live)
    }

    /// What lives, and what was not seen last.
    pub fn living(&self) -> View {
        View { gone: HashMap::new(), ..self.live.clone() }
    }

    /// With what is gone under an id that the sighting names, or that is
    /// watched and not known.
    pub fn view(&self, sighting: &Sighting, cloud: &CloudName, watched: &HostSet) -> View {
        let mut view = self.living();
        let named: Vec<InstanceId> = sighting.named().map(|(id, _)| id.clone()).collect();
        for id in named.into_iter().chain(unknown_to(cloud, &view, watched)) {
            if let Some(lives) = self.live.gone.get(&id) {
                view.gone.insert(id, lives.clone());
            }
        }
        view
    }

    /// `unseen` is what whoever applies it remembers.
    pub fn apply(&mut self, changes: &Changes, unseen: HashMap<InstanceId, i64>) {
        self.live.unseen = unseen;
        assert_eq!(changes.listing, self.live.listing, "changes of another view");
        self.live.listing += 1;
        self.live.last = Some(Listed { at: changes.at, noticed: changes.now });
        for touched in &changes.touched {
            let row = touched.before.row;
            let id = self.ids[&row].clone();
            let mut after = touched.after.clone();
            if let Some(rewritten) = &touched.rewritten {
                match &rewritten.segment {
                    Some(segment) => {
                        self.of(row).insert(rewritten.id, segment.clone());
                        after.segment =
                            Some(KeptSegment { id: rewritten.id, segment: segment.clone() });
                    }
                    None => {
                        self.of(row).remove(&rewritten.id);
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
            self.ids.insert(row, new.instance.id.clone());
            self.rows.entry(new.instance.id.clone()).or_default().push(row);
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
            let id = self.last_segment;
            self.of(row).insert(id, segment.clone());
        }
        let id = self.last_segment;
        segments.last().map(|segment| KeptSegment { id, segment: segment.clone() })
    }

    fn of(&mut self, row: i64) -> &mut BTreeMap<i64, Segment> {
        self.segments.entry(row).or_default()
    }

    fn keep(&mut self, id: InstanceId, known: Known) {
        match known.presence {
            Presence::Gone { .. } => self.live.gone.entry(id).or_default().push(known),
            _ => drop(self.live.live.insert(id, known)),
        }
    }

    pub fn id_of(&self, row: i64) -> &InstanceId {
        &self.ids[&row]
    }

    /// What a restart of the process forgets.
    pub fn forget_unseen(&mut self) {
        self.live.unseen.clear();
    }

    pub fn presence(&self, id: &InstanceId) -> Option<Presence> {
        let gone = || self.live.gone.get(id)?.last();
        self.live.live.get(id).or_else(gone).map(|known| known.presence)
    }

    /// What counts of all lives of an id up to `until`, in order of time.
    pub fn billed(&self, id: &InstanceId, until: i64) -> Vec<Stretch> {
        let rows = self.rows.get(id).into_iter().flatten();
        let of = rows.filter_map(|row| self.segments.get(row)).flat_map(BTreeMap::values);
        let of = of.filter(|one| one.counted);
        let mut found: Vec<_> = of
            .map(|one| Stretch {
                from: one.from().at,
                to: one.to().map_or(until, |to| to.at).min(until),
                vcpus: one.shape.size.vcpus(),
            })
            .filter(|stretch| stretch.from < stretch.to)
            .collect();
        found.sort_by_key(|stretch| stretch.from);
        found
    }

    /// No two segments of a life overlap, and none is empty.
    pub fn assert_sound(&self) {
        for segments in self.segments.values() {
            let mut segments: Vec<&Segment> = segments.values().collect();
            segments.sort_by_key(|one| one.from().at);
            for pair in segments.windows(2) {
                let end = pair[0].to().map(|to| to.at);
                assert!(end.is_some_and(|end| end <= pair[1].from().at), "{pair:?} overlap");
            }
        }
    }
}
