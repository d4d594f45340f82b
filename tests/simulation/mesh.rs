//! The simulated mesh: bounded lanes as in `executors::mesh`, whose letters may be late but never
//! overtake one another.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use blipmq::broker::mesh::{LANES, Message};

use crate::random::Random;

struct Posted {
    letter: Message,
    /// The tick from which on the receiver sees it.
    visible_at: u64,
    /// Its arrival has woken the receiver.
    announced: bool,
}

pub struct Mesh {
    cores: usize,
    letters_max: usize,
    delay_ticks: RangeInclusive<u64>,
    lanes: Vec<VecDeque<Posted>>,
}

impl Mesh {
    pub fn new(cores: usize, letters_max: usize, delay_ticks: RangeInclusive<u64>) -> Mesh {
        let lanes = (0..cores * cores * LANES).map(|_| VecDeque::new()).collect();
        Mesh { cores, letters_max, delay_ticks, lanes }
    }

    fn lane(&mut self, from: usize, to: usize, lane: usize) -> &mut VecDeque<Posted> {
        assert!(from != to, "a core does not write to itself");
        &mut self.lanes[(from * self.cores + to) * LANES + lane]
    }

    /// Gives the letter back if the lane is full.
    pub fn try_send(
        &mut self,
        tick: u64,
        random: &mut Random,
        (from, to, lane): (usize, usize, usize),
        letter: Message,
    ) -> Result<(), Message> {
        let letters_max = self.letters_max;
        let visible_at = tick + random.within(self.delay_ticks.clone());
        let lane = self.lane(from, to, lane);
        if lane.len() >= letters_max {
            return Err(letter);
        }
        lane.push_back(Posted { letter, visible_at, announced: false });
        Ok(())
    }

    /// The next letter, and whether the lane was full, so that its sender must be woken.
    pub fn try_recv(
        &mut self,
        tick: u64,
        (from, to, lane): (usize, usize, usize),
    ) -> Option<(Message, bool)> {
        let letters_max = self.letters_max;
        let lane = self.lane(from, to, lane);
        let was_full = lane.len() >= letters_max;
        if lane.front()?.visible_at > tick {
            return None;
        }
        Some((lane.pop_front()?.letter, was_full))
    }

    /// Cores that letters have newly arrived for. Each letter wakes its core once, as the real one.
    pub fn arrivals(&mut self, tick: u64) -> Vec<usize> {
        let mut woken = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            for posted in lane.iter_mut().take_while(|posted| posted.visible_at <= tick) {
                if !std::mem::replace(&mut posted.announced, true) {
                    woken.push(index / LANES % self.cores);
                }
            }
        }
        woken
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    /// From here on no letter is late.
    pub fn hurry(&mut self) {
        self.delay_ticks = 0..=0;
        for posted in self.lanes.iter_mut().flatten() {
            posted.visible_at = 0;
        }
    }
}
