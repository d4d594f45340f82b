//! The ground truth, seen from outside: every frame published, and when each message was accepted
//! by its topic's core and reached the queues of each core.

use std::collections::BTreeMap;

use blipmq::broker::{Cluster, Now};

use crate::conversation::Subscription;

/// A turn of one core. Turns of all cores are counted together, so they have one order.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub turn: u32,
    pub now: Now,
}

/// A MESSAGES frame that a client has written. Its number travels in the `crc` field, which the
/// broker leaves alone.
pub struct Frame {
    pub conversation: usize,
    pub topic: usize,
    pub flags: u8,
    pub messages: u16,
    /// The TTL that must be stamped.
    pub ttl_ms: u32,
    /// Everything from the first record on.
    pub records: Vec<u8>,
    /// The OPEN that the frame was published under, if not under the topic's id.
    pub request: Option<u32>,
    /// When the last byte was given to the broker, unless that no longer counts.
    pub handed: Option<Moment>,
    /// The connection was ended while the frame may have waited to be read.
    pub may_be_lost: bool,
    /// The ACK has come.
    pub acked: bool,
    /// Known once a subscriber has got the frame, or an ACK has come.
    pub sequence: Option<u64>,
}

pub struct Topic {
    pub name: String,
    pub owner: usize,
    pub id: Option<u32>,
    /// By sequence, from 1.
    pub accepted: Vec<Moment>,
    /// By sequence: the frame, and the index of the message in the frame.
    pub frame_at: Vec<Option<(u32, u16)>>,
    /// By core and sequence: the turn in which the message reached the queues of the core.
    pub fanned_out: Vec<Vec<u32>>,
}

impl Topic {
    /// The turn in which a message reached the queues of a core; `None` if it has not yet.
    pub fn fanned_out(&self, core: usize, sequence: u64) -> Option<u32> {
        self.fanned_out[core].get(sequence as usize - 1).copied()
    }

    /// Notes that every message before `next` has reached the queues of a core, or matched none.
    pub fn note_fanned_out(&mut self, core: usize, next: u64, turn: u32) {
        let turns = &mut self.fanned_out[core];
        if turns.len() < next as usize - 1 {
            turns.resize(next as usize - 1, turn);
        }
    }
}

#[derive(Default)]
pub struct Truth {
    pub topics: Vec<Topic>,
    pub by_name: BTreeMap<String, usize>,
    pub by_id: BTreeMap<u32, usize>,
    /// By number, from 1.
    pub frames: Vec<Frame>,
    /// By pattern and name.
    pub groups: BTreeMap<(String, String), Group>,
}

/// What all members of a group got together.
#[derive(Default)]
pub struct Group {
    /// By topic and sequence: whether the message was delivered; else it was reported.
    pub accounted: BTreeMap<(usize, u64), bool>,
    /// Whether a member has left, so that others may be dealt older messages.
    pub left: bool,
}

impl Truth {
    /// A frame by its number.
    pub fn frame(&mut self, number: u32) -> &mut Frame {
        &mut self.frames[number as usize - 1]
    }

    /// The group of a subscription, if it is a member.
    pub fn group_of(&mut self, subscription: &Subscription) -> Option<&mut Group> {
        let name = (subscription.pattern.clone(), subscription.group.clone());
        (!name.1.is_empty()).then(|| self.groups.entry(name).or_default())
    }

    /// A member leaves.
    pub fn note_left(&mut self, subscription: &Subscription) {
        if let Some(group) = self.group_of(subscription) {
            group.left = true;
        }
    }

    /// The topic of a name.
    pub fn topic(&mut self, cluster: &Cluster, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        self.by_name.insert(name.to_string(), self.topics.len());
        self.topics.push(Topic {
            name: name.to_string(),
            owner: usize::from(cluster.core_of(cluster.shard_of_name(name)).0),
            id: None,
            accepted: Vec::new(),
            frame_at: Vec::new(),
            fanned_out: vec![Vec::new(); usize::from(cluster.cores)],
        });
        self.topics.len() - 1
    }

    /// Notes the sequence that the owner of a topic has reached.
    pub fn note_accepted(&mut self, name: &str, id: u32, next: u64, moment: Moment) {
        let index = self.by_name[name];
        let topic = &mut self.topics[index];
        if topic.id.is_none() {
            topic.id = Some(id);
            let before = self.by_id.insert(id, index);
            assert!(before.is_none(), "topic id {id} was given twice");
        }
        let accepted = next as usize - 1;
        if topic.accepted.len() < accepted {
            topic.accepted.resize(accepted, moment);
            topic.frame_at.resize(accepted, None);
            topic.note_fanned_out(topic.owner, next, moment.turn);
        }
    }

    /// Notes that a frame was received with this first sequence, on which all receivers have to
    /// agree.
    pub fn note_received(&mut self, number: u32, first: u64) -> Result<(), String> {
        let frame = &mut self.frames[number as usize - 1];
        let topic = &mut self.topics[frame.topic];
        match frame.sequence {
            Some(sequence) if sequence != first => {
                return Err(format!("frame {number} is at {sequence} and at {first} of its topic"));
            }
            Some(_) => return Ok(()),
            None => frame.sequence = Some(first),
        }
        for index in 0..frame.messages {
            let sequence = first + u64::from(index);
            let Some(place) = topic.frame_at.get_mut(sequence as usize - 1) else {
                return Err(format!("`{}` has not accepted {sequence} yet", topic.name));
            };
            if let Some((other, _)) = place.replace((number, index)) {
                let name = &topic.name;
                return Err(format!("frames {other} and {number} are both {sequence} of `{name}`"));
            }
        }
        Ok(())
    }
}

/// Whether a pattern matches a topic, as section 3 of PROTOCOL.md says.
pub fn matches(pattern: &str, topic: &str) -> bool {
    let (mut pattern, mut topic) = (pattern.split('.'), topic.split('.'));
    loop {
        match (pattern.next(), topic.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(literal), Some(token)) if literal == token => {}
            _ => return false,
        }
    }
}
