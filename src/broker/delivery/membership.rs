//! The members of one group, as its coordinator knows them.
//!
//! # Always true
//! - A member is found, and the next one with room, without a look at each of the others: a client may
//!   have very many members in a group.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::group::Member;
use super::subscription::SubscriptionRef;
use crate::protocol::CoreId;

/// Members in some order, in which they take turns.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: Vec<Member>,
    places: HashMap<(CoreId, SubscriptionRef), usize>,
    /// The places of those that may be dealt more.
    with_room: BTreeSet<usize>,
    /// How many share messages with groups of the same name.
    sharing: usize,
    /// Messages that were dealt to members and not sent yet.
    unsent_messages: u64,
}

impl Members {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.iter()
    }

    /// Whether every member shares messages with groups of the same name.
    pub fn all_share(&self) -> bool {
        self.sharing == self.all.len()
    }

    /// Messages that were dealt to members and not sent yet.
    pub fn unsent_messages(&self) -> u64 {
        self.unsent_messages
    }

    /// Adds a member that has nothing unsent.
    pub fn add(&mut self, member: Member) {
        let place = self.all.len();
        self.places.insert((member.core, member.member), place);
        self.sharing += usize::from(member.shares);
        if member.capacity > 0 {
            self.with_room.insert(place);
        }
        self.all.push(member);
    }

    /// Removes a member, if it is there. The last one takes its turn.
    pub fn remove(&mut self, core: CoreId, member: SubscriptionRef) -> Option<Member> {
        let place = self.places.remove(&(core, member))?;
        let removed = self.all.swap_remove(place);
        self.sharing -= usize::from(removed.shares);
        self.unsent_messages -= u64::from(removed.unsent_messages);
        self.with_room.remove(&place);
        if let Some(moved) = self.all.get(place) {
            self.places.insert((moved.core, moved.member), place);
            if self.with_room.remove(&self.all.len()) {
                self.with_room.insert(place);
            }
        }
        Some(removed)
    }

    /// The place of a member, if it is there.
    pub fn place_of(&self, core: CoreId, member: SubscriptionRef) -> Option<usize> {
        self.places.get(&(core, member)).copied()
    }

    /// The first member with room from a place on that is eligible, then from the beginning.
    pub fn next_with_room(
        &self,
        from: usize,
        is_eligible: impl Fn(&Member) -> bool,
    ) -> Option<usize> {
        let behind = self.with_room.range(from..).chain(self.with_room.range(..from));
        behind.copied().find(|place| is_eligible(&self.all[*place]))
    }

    /// A member is dealt so many messages and bytes more, or has sent them if they are negative.
    pub fn count_unsent(&mut self, place: usize, messages: i64, bytes: i64, bytes_max: u64) {
        let member = &mut self.all[place];
        let had_room = member.has_room(bytes_max);
        self.unsent_messages = (self.unsent_messages as i64 + messages) as u64;
        member.unsent_messages = (i64::from(member.unsent_messages) + messages) as u32;
        member.dealt += messages.max(0) as u64;
        member.unsent_bytes = (member.unsent_bytes as i64 + bytes) as u64;
        match (had_room, member.has_room(bytes_max)) {
            (true, false) => drop(self.with_room.remove(&place)),
            (_, true) => drop(self.with_room.insert(place)),
            (false, false) => {}
        }
    }

    /// A member leaves once it was dealt so many messages; returns whether it is there.
    pub fn limit(&mut self, core: CoreId, member: SubscriptionRef, messages_max: u64) -> bool {
        let Some(place) = self.place_of(core, member) else { return false };
        let member = &mut self.all[place];
        member.dealt_max = messages_max.max(member.dealt);
        true
    }

    /// A member in a place.
    pub fn at(&self, place: usize) -> &Member {
        &self.all[place]
    }
}

#[cfg(test)]
mod tests {
    use super::super::subscriptions::SubscriptionIndex;
    use super::*;
    use crate::broker::ids::{ConnectionId, Slot};

    fn reference(number: u64) -> SubscriptionRef {
        SubscriptionRef { index: SubscriptionIndex(number as u32), number }
    }

    fn members(count: u64) -> Members {
        let mut members = Members::default();
        for number in 0..count {
            members.add(Member {
                core: CoreId(0),
                member: reference(number),
                capacity: 2,
                unsent_messages: 0,
                unsent_bytes: 0,
                connection: ConnectionId { slot: Slot(0), generation: 0 },
                shares: false,
                takes_any_name: false,
                filter: None,
                dealt: 0,
                dealt_max: u64::MAX,
            });
        }
        members
    }

    /// Goal: what is kept beside the list agrees with the list.
    /// Method: members fill up and leave in some order, and are searched for one by one.
    #[test]
    fn members_with_room_are_those_that_a_search_finds_however_they_come_and_go() {
        let mut members = members(9);
        let mut step = 0;
        while !members.is_empty() {
            step += 1;
            let place = step * 5 % members.len();
            members.count_unsent(place, 1, 100, 1 << 20);
            if members.at(place).unsent_messages == 2 && step % 3 == 0 {
                members.count_unsent(place, -2, -200, 1 << 20);
            }
            if step % 4 == 0 {
                let leaver = members.at(step * 7 % members.len()).member;
                let removed = members.remove(CoreId(0), leaver).expect("it is there");
                assert_eq!(removed.member, leaver);
                assert!(members.remove(CoreId(0), leaver).is_none());
            }
            let unsent: u32 = members.iter().map(|member| member.unsent_messages).sum();
            assert_eq!(members.unsent_messages(), u64::from(unsent));
            for from in 0..members.len() {
                let count = members.len();
                let mut behind = (0..count).map(|step| (from + step) % count);
                let expected = behind.find(|place| members.at(*place).has_room(1 << 20));
                assert_eq!(members.next_with_room(from, |_| true), expected);
                let found = members.place_of(CoreId(0), members.at(from).member);
                assert_eq!(found, Some(from));
            }
        }
    }
}
