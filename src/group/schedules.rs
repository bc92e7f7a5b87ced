//! A group and its tasks in every order of what can happen. The runtime has one
//! thread, the group is polled by hand, and what a task, the signal or the
//! clock does next is chosen; so is whether the tasks and the group have had
//! their turn in between. The tasks and tokens are tokio's own.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{BoxError, Group, GroupError};

const GRACE: Duration = Duration::from_secs(7);
const NAMES: [&str; 3] = ["first", "second", "third"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Done,
    Failed,
    Panicked,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    unasked: End,
    /// None: it does not hear that it is to stop.
    asked: Option<End>,
}

/// With the first two ends or with all three.
fn kinds(ends: usize) -> Vec<Kind> {
    let ends = &[End::Done, End::Failed, End::Panicked][..ends];
    let asked = || std::iter::once(None).chain(ends.iter().copied().map(Some));
    ends.iter().flat_map(|&unasked| asked().map(move |asked| Kind { unasked, asked })).collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Signal,
    /// The task of this place ends unasked.
    End(usize),
    GraceOver,
    /// All tasks that can go on do.
    Tasks,
    /// The group goes on: only if it was woken, so that a lost wake-up shows.
    Group,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts the tasks that are neither at their end nor dropped.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Ended = Arc<Mutex<Vec<(usize, End)>>>;

async fn task(
    place: usize,
    kind: Kind,
    go: oneshot::Receiver<()>,
    stop: CancellationToken,
    ended: Ended,
    alive: Alive,
) -> Result<(), BoxError> {
    let end = tokio::select! {
        biased;
        _ = go => kind.unasked,
        () = stop.cancelled(), if kind.asked.is_some() => kind.asked.unwrap(),
    };
    ended.lock().unwrap().push((place, end));
    drop(alive);
    match end {
        End::Done => Ok(()),
        End::Failed => Err("on purpose".into()),
        // Not by panic!, which would print millions of messages.
        End::Panicked => std::panic::resume_unwind(Box::new("on purpose")),
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), GroupError>>>>;

struct World {
    group: Option<Running>,
    woken: Arc<Woken>,
    stop: CancellationToken,
    signal: Option<oneshot::Sender<()>>,
    over: Option<oneshot::Sender<()>>,
    go: Vec<Option<oneshot::Sender<()>>>,
    ended: Ended,
    alive: Arc<AtomicUsize>,
    /// How often the group has begun to wait for the rest.
    waits: Rc<Cell<u32>>,
    tasks_can_go_on: bool,
    /// How many had ended at each turn of the group from the one on in which
    /// it stopped the others, and whether the signal had been given by then.
    turns: Vec<usize>,
    signalled: bool,
}

impl World {
    fn new(kinds: &[Kind]) -> Self {
        let alive = Arc::new(AtomicUsize::new(kinds.len()));
        let ended = Ended::default();
        let mut group = Group::new(GRACE);
        let mut go = Vec::new();
        for (place, kind) in kinds.iter().enumerate() {
            let (sender, receiver) = oneshot::channel();
            go.push(Some(sender));
            let (ended, alive) = (Arc::clone(&ended), Alive(Arc::clone(&alive)));
            group.add(NAMES[place], |stop| task(place, *kind, receiver, stop, ended, alive));
        }
        let stop = group.stop.clone();
        let (signal, signalled) = oneshot::channel::<()>();
        let (over, is_over) = oneshot::channel::<()>();
        let waits = Rc::new(Cell::new(0));
        let counted = Rc::clone(&waits);
        let running = group.run(async { signalled.await.unwrap() }, move |grace| {
            assert_eq!(grace, GRACE);
            counted.set(counted.get() + 1);
            async { is_over.await.unwrap() }
        });
        Self {
            group: Some(Box::pin(running)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            stop,
            signal: Some(signal),
            over: Some(over),
            go,
            ended,
            alive,
            waits,
            tasks_can_go_on: true,
            turns: Vec::new(),
            signalled: false,
        }
    }

    fn is_woken(&self) -> bool {
        self.group.is_some() && self.woken.0.load(Ordering::Relaxed)
    }

    fn is_stopping(&self) -> bool {
        self.waits.get() > 0
    }

    fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.group.is_none() {
            return steps;
        }
        // No longer heard once it stops.
        if self.signal.is_some() && !self.is_stopping() {
            steps.push(Step::Signal);
        }
        let ended = self.ended.lock().unwrap();
        let open = |place: &usize| {
            self.go[*place].is_some() && ended.iter().all(|(there, _)| there != place)
        };
        steps.extend((0..self.go.len()).filter(open).map(Step::End));
        if self.over.is_some() && self.is_stopping() {
            steps.push(Step::GraceOver);
        }
        if self.tasks_can_go_on {
            steps.push(Step::Tasks);
        }
        if self.is_woken() {
            steps.push(Step::Group);
        }
        steps
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Signal => self.signal.take().unwrap().send(()).unwrap(),
            Step::GraceOver => self.over.take().unwrap().send(()).unwrap(),
            Step::End(place) => {
                self.go[place].take().unwrap().send(()).unwrap();
                self.tasks_can_go_on = true;
            }
            Step::Tasks => {
                tokio::task::yield_now().await;
                self.tasks_can_go_on = false;
            }
            Step::Group => self.turn(),
        }
    }

    fn turn(&mut self) {
        self.woken.0.store(false, Ordering::Relaxed);
        let ended = self.ended.lock().unwrap().len();
        let was_stopping = self.is_stopping();
        let cause = self.signal.is_none() || ended > 0;
        let waker = Waker::from(Arc::clone(&self.woken));
        let turned = self.group.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(self.is_stopping(), cause, "it stops for a cause, and at once");
        assert_eq!(self.stop.is_cancelled(), cause, "the others are told");
        assert!(self.waits.get() <= 1, "there is one time of grace");
        if cause {
            self.turns.push(ended);
        }
        if cause && !was_stopping {
            self.signalled = self.signal.is_none();
            self.tasks_can_go_on = true;
        }
        let over = cause && self.over.is_none();
        match turned {
            Poll::Pending => {
                assert!(!cause || ended < self.go.len(), "it waits for nobody");
                assert!(!over, "it waits longer than the grace");
            }
            Poll::Ready(outcome) => {
                assert!(ended == self.go.len() || over, "it leaves too early");
                self.group = None;
                self.tasks_can_go_on = true;
                self.judge(&told(outcome), ended);
            }
        }
    }

    /// Which fault of several that came together is told is left open.
    fn judge(&self, outcome: &Told, ended: usize) {
        let ends = self.ended.lock().unwrap();
        let mut may_be: Vec<Told> = Vec::new();
        if self.signalled {
            let mut from = 0;
            for &until in &self.turns {
                if may_be.is_empty() {
                    let faults = ends[from..until].iter().filter(|(_, end)| *end != End::Done);
                    may_be.extend(faults.map(Told::of));
                }
                from = until;
            }
        } else {
            may_be.extend(ends[..self.turns[0]].iter().map(Told::of));
        }
        if may_be.is_empty() {
            let ended = |place: &usize| ends[..ended].iter().any(|(there, _)| there == place);
            let left: Vec<_> =
                (0..self.go.len()).filter(|place| !ended(place)).map(|at| NAMES[at]).collect();
            may_be.push(if left.is_empty() { Told::Nothing } else { Told::Stuck(left.join(", ")) });
        }
        assert!(may_be.contains(outcome), "{outcome:?} is told in place of {may_be:?}");
    }

    /// What is under way goes on until nothing moves; then the rest happens.
    async fn settle(mut self) {
        self.let_go_on().await;
        if self.group.is_some() && !self.is_stopping() {
            assert!(self.alive.load(Ordering::Relaxed) == self.go.len(), "an end is overlooked");
            self.take(Step::Signal).await;
            self.let_go_on().await;
        }
        if self.group.is_some() {
            self.take(Step::GraceOver).await;
            self.let_go_on().await;
        }
        assert!(self.group.is_none(), "it stays for ever");
        self.must_be_gone().await;
    }

    async fn let_go_on(&mut self) {
        while self.tasks_can_go_on || self.is_woken() {
            if self.tasks_can_go_on {
                self.take(Step::Tasks).await;
            }
            if self.is_woken() {
                self.take(Step::Group).await;
            }
        }
    }

    async fn must_be_gone(&mut self) {
        self.take(Step::Tasks).await;
        assert_eq!(self.alive.load(Ordering::Relaxed), 0, "tasks are left");
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    Nothing,
    Ended(&'static str),
    Failed(&'static str),
    Panicked(&'static str),
    Stuck(String),
}

impl Told {
    fn of((place, end): &(usize, End)) -> Self {
        match end {
            End::Done => Self::Ended(NAMES[*place]),
            End::Failed => Self::Failed(NAMES[*place]),
            End::Panicked => Self::Panicked(NAMES[*place]),
        }
    }
}

fn told(outcome: Result<(), GroupError>) -> Told {
    match outcome {
        Ok(()) => Told::Nothing,
        Err(GroupError::Ended { task }) => Told::Ended(task),
        Err(GroupError::Failed { task, source }) => {
            assert_eq!(source.to_string(), "on purpose");
            Told::Failed(task)
        }
        Err(GroupError::Panicked { task, message }) => {
            assert_eq!(message, "on purpose");
            Told::Panicked(task)
        }
        Err(GroupError::Stuck { tasks, grace }) => {
            assert_eq!(grace, GRACE);
            Told::Stuck(tasks)
        }
    }
}

/// A future cannot be copied: so each schedule begins anew.
async fn play(kinds: &[Kind], steps: &[Step]) -> World {
    let mut world = World::new(kinds);
    for step in steps {
        world.take(*step).await;
    }
    world
}

/// The schedules of at most so many steps, and what is left to happen after
/// them, that begin with these: how many there are.
fn explore(runtime: &Runtime, kinds: &[Kind], longest: usize, steps: &mut Vec<Step>) -> u64 {
    let told = ToldIfRed(kinds, steps.clone());
    let next = runtime.block_on(async {
        let world = play(kinds, steps).await;
        let next = world.possible();
        world.settle().await;
        // Whoever runs the group goes away.
        let mut world = play(kinds, steps).await;
        world.group = None;
        world.must_be_gone().await;
        next
    });
    drop(told);
    let mut schedules = 1;
    let next = if steps.len() < longest { next } else { Vec::new() };
    for step in next {
        steps.push(step);
        schedules += explore(runtime, kinds, longest, steps);
        steps.pop();
    }
    schedules
}

struct ToldIfRed<'a>(&'a [Kind], Vec<Step>);

impl Drop for ToldIfRed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("violation: {:?} in {:?}", self.0, self.1);
        }
    }
}

/// All groups of so many tasks of these kinds: in which place a task is makes
/// no difference.
fn explore_groups(tasks: usize, kinds: &[Kind], longest: usize) -> u64 {
    fn add(
        runtime: &Runtime,
        open: &[Kind],
        left: usize,
        longest: usize,
        of: &mut Vec<Kind>,
    ) -> u64 {
        if left == 0 {
            return explore(runtime, of, longest, &mut Vec::new());
        }
        let mut schedules = 0;
        for (at, kind) in open.iter().enumerate() {
            of.push(*kind);
            schedules += add(runtime, &open[at..], left - 1, longest, of);
            of.pop();
        }
        schedules
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    add(&runtime, kinds, tasks, longest, &mut Vec::new())
}

const ANY: usize = usize::MAX;

#[test]
fn in_every_schedule_all_end_and_the_first_fault_is_told() {
    let schedules = explore_groups(0, &[], ANY)
        + explore_groups(1, &kinds(3), ANY)
        + explore_groups(2, &kinds(2), 6);
    assert!(schedules > 20_000, "only {schedules} were possible");
}

#[test]
#[ignore = "make prove-h"]
fn in_every_longer_schedule_all_end_and_the_first_fault_is_told() {
    // That a panic is told as a failure is does not change with more tasks.
    for (tasks, ends) in [(2, 3), (3, 2)] {
        let began = Instant::now();
        let schedules = explore_groups(tasks, &kinds(ends), ANY);
        println!(
            "\nPROVED\tT-H\ta group of {tasks} tasks of {} kinds in every schedule\t{schedules}\t{}\t0\t{}",
            kinds(ends).len(),
            2 * schedules,
            began.elapsed().as_secs()
        );
    }
}
