//! The dice: when the faults of a script fire.
//!
//! 1. Every draw comes from one seeded generator a part of the simulator.
//! 2. A fault whose moment has come is *armed* and waits for the first opportunity of its kind; every other draw is made at the opportunity itself.
//! 3. Repeated faults of connections are not drawn here: each connection has a clock of its own, see [`Doom`].
//! 4. Once it is calm, nothing fires any more, armed or not.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use super::faults::{Fault, FaultKind, Faults, When};

/// Draws the faults of one part of the simulator.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Those drawn at each opportunity.
    rules: Vec<(Fault, When)>,
    /// Those of a moment, soonest first.
    moments: VecDeque<(Duration, Fault)>,
    /// Those that come again: next moment, fault, usual time between.
    repeated: Vec<(Duration, Fault, Duration)>,
    /// Those that come again for each connection.
    dooms: Vec<(Fault, Duration)>,
    /// Faults whose moment has come and that wait for an opportunity.
    armed: VecDeque<Fault>,
    calm: Option<Duration>,
    rng: Rng,
}

/// A fault that will befall a connection, again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doom {
    /// What.
    pub(super) fault: Fault,
    /// How long until then.
    pub(super) after: Duration,
    every: Duration,
}

impl Schedule {
    /// The dice of the frames and connections, thrown by the floor.
    pub(super) fn for_frames(faults: &Faults, seed: u64) -> Self {
        Self::new(faults, seed, |kind| !kind.waits_for_a_client())
    }

    /// The dice of connections, subscriptions and REST requests as they come in.
    pub(super) fn for_clients(faults: &Faults, seed: u64) -> Self {
        Self::new(faults, seed.wrapping_add(1), FaultKind::waits_for_a_client)
    }

    fn new(faults: &Faults, seed: u64, belongs: impl Fn(FaultKind) -> bool) -> Self {
        let mut schedule = Self {
            rules: Vec::new(),
            moments: VecDeque::new(),
            repeated: Vec::new(),
            dooms: Vec::new(),
            armed: VecDeque::new(),
            calm: faults.calm,
            rng: Rng::with_seed(seed ^ 0x5eed_fa17),
        };
        for (fault, when) in faults.rules.iter().copied().filter(|(fault, _)| belongs(fault.kind)) {
            match when {
                When::At(moment) => schedule.moments.push_back((moment, fault)),
                When::Every(time) if fault.kind.strikes_a_connection() => schedule.dooms.push((fault, time)),
                When::Every(time) => {
                    let first = schedule.jitter(time);
                    schedule.repeated.push((first, fault, time));
                }
                When::Chance(_) | When::Count(_) => schedule.rules.push((fault, when)),
            }
        }
        // Stable: what has the same moment keeps the script's order.
        schedule.moments.make_contiguous().sort_by_key(|(moment, _)| *moment);
        schedule
    }

    fn jitter(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.5 + self.rng.f64())
    }

    /// Whether there is anything left to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.moments.is_empty() && self.repeated.is_empty() && self.dooms.is_empty() && self.armed.is_empty()
    }

    /// Whether a fault of this kind may come at the next opportunity.
    pub(super) fn may(&self, kind: FaultKind) -> bool {
        self.rules.iter().any(|(fault, _)| fault.kind == kind) || self.armed.iter().any(|fault| fault.kind == kind)
    }

    /// Arms the faults whose moment has come. Call it as the event clock moves.
    pub(super) fn arm(&mut self, offset: Duration) {
        if self.calm.is_some_and(|calm| calm <= offset) {
            self.rules.clear();
            self.moments.clear();
            self.repeated.clear();
            self.dooms.clear();
            self.armed.clear();
            return;
        }
        while let Some((_, fault)) = self.moments.pop_front_if(|(moment, _)| *moment <= offset) {
            self.armed.push_back(fault);
        }
        for (next, fault, time) in &mut self.repeated {
            if *next <= offset {
                self.armed.push_back(*fault);
                *next = offset + time.mul_f64(0.5 + self.rng.f64());
            }
        }
    }

    /// Draws what will befall a connection that has just come.
    pub(super) fn dooms(&mut self) -> Vec<Doom> {
        let dooms = self.dooms.clone();
        dooms.into_iter().map(|(fault, every)| Doom { fault, after: self.jitter(every), every }).collect()
    }

    /// Draws when a doom comes again; nothing where it is calm.
    pub(super) fn doom_again(&mut self, doom: Doom) -> Option<Doom> {
        (!self.dooms.is_empty()).then(|| Doom { after: self.jitter(doom.every), ..doom })
    }

    /// Whether connections still have dooms.
    pub(super) fn has_dooms(&self) -> bool {
        !self.dooms.is_empty()
    }

    /// Takes an armed fault that `is_wanted`.
    pub(super) fn take_armed(&mut self, is_wanted: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let at = self.armed.iter().position(|fault| is_wanted(fault.kind))?;
        self.armed.remove(at)
    }

    /// Gives every opportunity to one kind: for connections, requests and frames to one connection.
    pub(super) fn draw_of(&mut self, kind: FaultKind) -> Option<Fault> {
        self.take_armed(|armed| armed == kind).or_else(|| self.throw(|drawn| drawn == kind))
    }

    /// Gives one frame's opportunity to all kinds but those of a frame's way to one connection; the first rule that fires has it. An armed fault that
    /// does not strike a frame is not taken: it waits for whom it can strike.
    pub(super) fn draw(&mut self) -> Option<Fault> {
        self.take_armed(FaultKind::strikes_an_item).or_else(|| self.throw(|drawn| drawn != FaultKind::Lose))
    }

    fn throw(&mut self, is_wanted: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let Self { rules, rng, .. } = self;
        rules.iter_mut().filter(|(fault, _)| is_wanted(fault.kind)).find_map(|(fault, when)| match when {
            When::Chance(chance) => (rng.f64() < *chance).then_some(*fault),
            When::Count(left) if *left > 0 => {
                *left -= 1;
                Some(*fault)
            }
            When::Count(_) | When::At(_) | When::Every(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_fire_by_count_by_moment_and_by_chance() {
        let faults = Faults::parse("duplicate*2,drop@1s,rest-429*1").expect("a script");
        let mut schedule = Schedule::for_frames(&faults, 1);
        let kinds = |schedule: &mut Schedule| (0..4).filter_map(|_| schedule.draw()).map(|fault| fault.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&mut schedule), [FaultKind::Duplicate, FaultKind::Duplicate]);
        schedule.arm(Duration::from_millis(999));
        assert_eq!(kinds(&mut schedule), []);
        schedule.arm(Duration::from_secs(1));
        assert_eq!(kinds(&mut schedule), [FaultKind::Drop]);
        schedule.arm(Duration::from_secs(2));
        assert_eq!(kinds(&mut schedule), []);
        let mut rest = Schedule::for_clients(&faults, 1);
        assert_eq!(rest.draw_of(FaultKind::Rest500), None);
        assert!(rest.draw_of(FaultKind::Rest429).is_some());
        assert_eq!(rest.draw_of(FaultKind::Rest429), None);
        let mut schedule = Schedule::for_frames(&Faults::parse("drop=0.1").expect("a script"), 9);
        let fired = (0..10_000).filter(|_| schedule.draw().is_some()).count();
        assert!((800..1200).contains(&fired), "{fired}");
    }

    #[test]
    fn what_comes_again_comes_about_as_often_as_said_and_calm_ends_everything() {
        let faults = Faults::parse("drop@every:100ms,reset@every:3s,lose=1,stall@1s,junk@30s,calm@20s").expect("a script");
        let mut schedule = Schedule::for_frames(&faults, 3);
        let (mut drops, mut losses) = (0, 0);
        for ms in 0..30_000 {
            schedule.arm(Duration::from_millis(ms));
            while let Some(fault) = schedule.draw() {
                assert_eq!(fault.kind, FaultKind::Drop, "neither a connection's fault nor a lost frame is a frame's");
                drops += 1;
            }
            losses += usize::from(schedule.draw_of(FaultKind::Lose).is_some());
        }
        assert!((170..230).contains(&drops), "{drops}");
        assert_eq!((losses, schedule.is_empty(), schedule.dooms().len()), (20_000, true, 0));
        let mut schedule = Schedule::for_frames(&faults, 3);
        let dooms = [schedule.dooms(), schedule.dooms()].concat();
        assert!(dooms.iter().all(|doom| (1500..4500).contains(&doom.after.as_millis())), "{dooms:?}");
        assert_ne!(dooms[0].after, dooms[1].after);
        let again = schedule.doom_again(dooms[0]).map(|doom| doom.after);
        assert!(again.is_some_and(|after| (1500..4500).contains(&after.as_millis())));
    }
}
