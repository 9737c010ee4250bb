//! The schedule of faults: when the rules of a script fire.
//!
//! 1. Each of the two schedules (of frames, of requests) draws from a seeded generator of its own.
//! 2. A fault whose moment has come is *armed*: it waits for the first opportunity of its kind. Every other draw is made at the opportunity itself.
//! 3. Repeated faults of connections are not drawn here. Each connection has a clock of its own; see [`RepeatedFault`].
//! 4. After the script's `calm@` moment nothing fires any more, armed or not.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use super::faults::{Fault, FaultKind, Faults, Rule, Scope, When};

/// Draws the faults of one part of the simulator.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Rules that are drawn at each opportunity.
    rules: Vec<Rule>,
    /// Faults of one moment, soonest first.
    moments: VecDeque<Moment>,
    /// Repeated faults that do not belong to a connection.
    repeated: Vec<Repeated>,
    /// Repeated faults of each connection.
    of_connections: Vec<ConnectionRule>,
    /// Faults whose moment has come and that wait for an opportunity.
    armed: VecDeque<Fault>,
    calm: Option<Duration>,
    rng: Rng,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Duration,
    fault: Fault,
}

#[derive(Debug, Clone, Copy)]
struct Repeated {
    next: Duration,
    fault: Fault,
    period: Duration,
}

#[derive(Debug, Clone, Copy)]
struct ConnectionRule {
    fault: Fault,
    period: Duration,
}

/// A fault that one connection suffers again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct RepeatedFault {
    pub(super) fault: Fault,
    /// The time until it fires.
    pub(super) delay: Duration,
    /// The average time between two.
    period: Duration,
}

impl Schedule {
    /// Makes the schedule of frames, products and open connections. The exchange's thread draws from it.
    pub(super) fn for_frames(faults: &Faults, seed: u64) -> Self {
        Self::new(faults, seed, |scope| scope != Scope::Request)
    }

    /// Makes the schedule of connections, subscriptions and REST requests as they come in.
    pub(super) fn for_requests(faults: &Faults, seed: u64) -> Self {
        Self::new(faults, seed.wrapping_add(1), |scope| scope == Scope::Request)
    }

    fn new(faults: &Faults, seed: u64, belongs: impl Fn(Scope) -> bool) -> Self {
        let mut schedule = Self {
            rules: Vec::new(),
            moments: VecDeque::new(),
            repeated: Vec::new(),
            of_connections: Vec::new(),
            armed: VecDeque::new(),
            calm: faults.calm,
            rng: Rng::with_seed(seed ^ 0x5eed_fa17),
        };
        for rule in faults.rules.iter().copied().filter(|rule| belongs(rule.fault.kind.scope())) {
            let Rule { fault, when } = rule;
            match when {
                When::At(at) => schedule.moments.push_back(Moment { at, fault }),
                When::Every(period) if fault.kind.scope() == Scope::Connection => {
                    schedule.of_connections.push(ConnectionRule { fault, period });
                }
                When::Every(period) => {
                    let next = jitter(&mut schedule.rng, period);
                    schedule.repeated.push(Repeated { next, fault, period });
                }
                When::Chance(_) | When::Count(_) => schedule.rules.push(rule),
            }
        }
        // A stable sort: rules of the same moment keep the script's order.
        schedule.moments.make_contiguous().sort_by_key(|moment| moment.at);
        schedule
    }

    /// Tells whether nothing is left to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.moments.is_empty()
            && self.repeated.is_empty()
            && self.of_connections.is_empty()
            && self.armed.is_empty()
    }

    /// Tells whether a fault of this kind may fire at the next opportunity.
    pub(super) fn may_fire(&self, kind: FaultKind) -> bool {
        self.rules.iter().any(|rule| rule.fault.kind == kind) || self.armed.iter().any(|fault| fault.kind == kind)
    }

    /// Arms the faults whose moment has come. Call it as the event clock moves; `offset` is the time since the clock's start.
    pub(super) fn arm(&mut self, offset: Duration) {
        if self.calm.is_some_and(|calm| calm <= offset) {
            self.rules.clear();
            self.moments.clear();
            self.repeated.clear();
            self.of_connections.clear();
            self.armed.clear();
            return;
        }
        while let Some(moment) = self.moments.pop_front_if(|moment| moment.at <= offset) {
            self.armed.push_back(moment.fault);
        }
        for repeated in &mut self.repeated {
            if repeated.next <= offset {
                self.armed.push_back(repeated.fault);
                repeated.next = offset + jitter(&mut self.rng, repeated.period);
            }
        }
    }

    /// Draws the repeated faults of a connection that has just been opened.
    pub(super) fn draw_repeated(&mut self) -> Vec<RepeatedFault> {
        let Self { of_connections, rng, .. } = self;
        of_connections
            .iter()
            .map(|rule| RepeatedFault { fault: rule.fault, delay: jitter(rng, rule.period), period: rule.period })
            .collect()
    }

    /// Draws when a connection's fault fires again; gives nothing after the `calm@` moment.
    pub(super) fn draw_next(&mut self, before: RepeatedFault) -> Option<RepeatedFault> {
        let is_calm = self.of_connections.is_empty();
        (!is_calm).then(|| RepeatedFault { delay: jitter(&mut self.rng, before.period), ..before })
    }

    /// Tells whether connections still have repeated faults.
    pub(super) fn has_repeated(&self) -> bool {
        !self.of_connections.is_empty()
    }

    /// Removes the first armed fault of a kind that `is_wanted`, and gives it.
    pub(super) fn take_armed(&mut self, is_wanted: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let at = self.armed.iter().position(|fault| is_wanted(fault.kind))?;
        self.armed.remove(at)
    }

    /// Draws for an opportunity of one kind: a connection, a request, a frame to one connection.
    pub(super) fn draw_of(&mut self, kind: FaultKind) -> Option<Fault> {
        self.take_armed(|armed| armed == kind).or_else(|| self.draw_rule(|drawn| drawn == kind))
    }

    /// Draws for a trade or ticker. It is an opportunity for all kinds but those of one frame to one connection; the first rule that fires gets it. Of
    /// the armed faults only one of a trade or ticker is taken; others wait for an opportunity of their own.
    pub(super) fn draw(&mut self) -> Option<Fault> {
        let of_update = |kind: FaultKind| kind.scope() == Scope::Update;
        self.take_armed(of_update).or_else(|| self.draw_rule(|drawn| drawn.scope() != Scope::Frame))
    }

    fn draw_rule(&mut self, is_wanted: impl Fn(FaultKind) -> bool) -> Option<Fault> {
        let Self { rules, rng, .. } = self;
        rules.iter_mut().filter(|rule| is_wanted(rule.fault.kind)).find_map(|rule| match &mut rule.when {
            When::Chance(chance) => (rng.f64() < *chance).then_some(rule.fault),
            When::Count(left) if *left > 0 => {
                *left -= 1;
                Some(rule.fault)
            }
            When::Count(_) | When::At(_) | When::Every(_) => None,
        })
    }
}

/// Draws a time between half of `period` and one and a half of it.
fn jitter(rng: &mut Rng, period: Duration) -> Duration {
    period.mul_f64(0.5 + rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_fire_by_count_by_moment_and_by_chance() {
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
        let mut rest = Schedule::for_requests(&faults, 1);
        assert_eq!(rest.draw_of(FaultKind::Rest500), None);
        assert!(rest.draw_of(FaultKind::Rest429).is_some());
        assert_eq!(rest.draw_of(FaultKind::Rest429), None);
        let mut schedule = Schedule::for_frames(&Faults::parse("drop=0.1").expect("a script"), 9);
        let fired = (0..10_000).filter(|_| schedule.draw().is_some()).count();
        assert!((800..1200).contains(&fired), "{fired}");
    }

    #[test]
    fn repeated_faults_fire_about_as_often_as_asked_and_calm_ends_everything() {
        let faults = Faults::parse("drop@every:100ms,reset@every:3s,lose=1,stall@1s,junk@30s,calm@20s").expect("a script");
        let mut schedule = Schedule::for_frames(&faults, 3);
        let (mut drops, mut losses) = (0, 0);
        for ms in 0..30_000 {
            schedule.arm(Duration::from_millis(ms));
            while let Some(fault) = schedule.draw() {
                assert_eq!(fault.kind, FaultKind::Drop, "neither a connection's fault nor a lost frame is a fault of a trade");
                drops += 1;
            }
            losses += usize::from(schedule.draw_of(FaultKind::Lose).is_some());
        }
        assert!((170..230).contains(&drops), "{drops}");
        assert_eq!((losses, schedule.is_empty(), schedule.draw_repeated().len()), (20_000, true, 0));
        let mut schedule = Schedule::for_frames(&faults, 3);
        let repeated = [schedule.draw_repeated(), schedule.draw_repeated()].concat();
        assert!(repeated.iter().all(|repeated| (1500..4500).contains(&repeated.delay.as_millis())), "{repeated:?}");
        assert_ne!(repeated[0].delay, repeated[1].delay);
        let next = schedule.draw_next(repeated[0]).map(|next| next.delay);
        assert!(next.is_some_and(|delay| (1500..4500).contains(&delay.as_millis())));
    }
}
