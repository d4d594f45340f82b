//! What a request is, in the number that its completion brings back.

/// What a completion is of. The slot is the connection's, the listener an index among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Accept { listener: u32 },
    Receive { slot: u32 },
    Send { slot: u32 },
    Cancel { slot: u32 },
    CancelAccept { listener: u32 },
    Timeout,
    MoveTimeout,
    Wake,
    CancelEverything,
    WatchEnd { slot: u32 },
}

impl Operation {
    pub(super) fn to_user_data(self) -> u64 {
        let (tag, slot) = match self {
            Operation::Accept { listener } => (0, listener),
            Operation::Receive { slot } => (1, slot),
            Operation::Send { slot } => (2, slot),
            Operation::Cancel { slot } => (3, slot),
            Operation::CancelAccept { listener } => (4, listener),
            Operation::Timeout => (5, 0),
            Operation::MoveTimeout => (6, 0),
            Operation::Wake => (7, 0),
            Operation::CancelEverything => (8, 0),
            Operation::WatchEnd { slot } => (9, slot),
        };
        tag << 32 | u64::from(slot)
    }

    pub(super) fn from_user_data(user_data: u64) -> Operation {
        let slot = user_data as u32;
        match user_data >> 32 {
            0 => Operation::Accept { listener: slot },
            1 => Operation::Receive { slot },
            2 => Operation::Send { slot },
            3 => Operation::Cancel { slot },
            4 => Operation::CancelAccept { listener: slot },
            5 => Operation::Timeout,
            6 => Operation::MoveTimeout,
            7 => Operation::Wake,
            8 => Operation::CancelEverything,
            9 => Operation::WatchEnd { slot },
            tag => unreachable!("no request was made with tag {tag}"),
        }
    }
}
