//! Compares passwords with their hashes, as the server does on a thread of its own: the answer comes some
//! ticks later, to the core that asked.

use std::collections::VecDeque;

use blipmq::broker::PasswordCheck;

use crate::compare;
use crate::random::Random;
use crate::world::World;

/// A hash that costs little, and its token.
pub const TOKEN: &str = "password";
pub const TOKEN_HASH: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// What the cores have asked for.
#[derive(Default)]
pub struct Passwords {
    /// In this order, each with its core and the tick before which it is not answered.
    asked: VecDeque<(usize, u64, PasswordCheck)>,
    /// Passwords that were compared.
    pub compared: u64,
}

impl Passwords {
    pub fn ask(&mut self, core: usize, tick: u64, random: &mut Random, checks: Vec<PasswordCheck>) {
        for check in checks {
            self.asked.push_back((core, tick + random.within(0..=20), check));
        }
    }
}

impl World {
    /// Answers what is due, and wakes the cores that asked.
    pub fn compare_passwords(&mut self) {
        while let Some((core, due, _)) = self.passwords.asked.front()
            && (*due <= self.tick || self.is_quiescing)
        {
            let core = *core;
            let (_, _, check) = self.passwords.asked.pop_front().expect("it was there");
            if check.is_wanted() && self.machine.cores()[core].stopped().is_none() {
                let is_right = compare::is_right(check.secret(), &check.hash);
                self.note(|| format!("core {core} is told that a password is right: {is_right}"));
                self.passwords.compared += 1;
                let beside = &mut self.machine.core(core).service_mut().beside;
                beside.checked.push((check.id, is_right));
                self.machine.wake_handle().wake(core);
            }
        }
    }
}
