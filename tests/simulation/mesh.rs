//! The delay of mesh messages. The mesh itself is the real one: its messages wait until their delay
//! is over, and never overtake one another.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use blipmq::broker::mesh::LANES;
use executors::Service;
use executors::simulated::Machine;

use crate::random::Random;

pub struct Mesh {
    cores: usize,
    delay_ticks: RangeInclusive<u64>,
    /// For each message under way, the tick in which the message may arrive.
    lanes: Vec<VecDeque<u64>>,
}

impl Mesh {
    pub fn new(cores: usize, delay_ticks: RangeInclusive<u64>) -> Mesh {
        let lanes = (0..cores * cores * LANES).map(|_| VecDeque::new()).collect();
        Mesh { cores, delay_ticks, lanes }
    }

    /// Gives each new message of a core its delay.
    pub fn note<S: Service>(
        &mut self,
        machine: &Machine<S>,
        from: usize,
        tick: u64,
        random: &mut Random,
    ) {
        for (to, lane) in (0..self.cores * LANES).map(|index| (index / LANES, index % LANES)) {
            let arrivals = &mut self.lanes[(from * self.cores + to) * LANES + lane];
            while arrivals.len() < machine.under_way(from, to, lane) {
                arrivals.push_back(tick + random.within(self.delay_ticks.clone()));
            }
        }
    }

    /// Lets messages arrive whose delay is over.
    pub fn arrive<S: Service>(&mut self, machine: &Machine<S>, tick: u64) {
        for (index, arrivals) in self.lanes.iter_mut().enumerate() {
            let (from, to) = (index / LANES / self.cores, index / LANES % self.cores);
            while arrivals.front().is_some_and(|at| *at <= tick) {
                arrivals.pop_front();
                machine.arrive(from, to, index % LANES);
            }
        }
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    /// Ends all delays.
    pub fn hurry(&mut self) {
        self.delay_ticks = 0..=0;
        self.lanes.iter_mut().flatten().for_each(|at| *at = 0);
    }
}
