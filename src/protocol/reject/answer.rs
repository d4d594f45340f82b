//! What the ERROR frame of a refusal says beside its text.

use super::Reject;

impl Reject {
    /// Returns the code of the ERROR frame.
    pub fn code(&self) -> u16 {
        use Reject::*;
        match self {
            FrameTooShort { .. } | UnknownKind { .. } | UnknownFlags { .. } => 4000,
            UnexpectedCount { .. } | BodyMismatch { .. } | NotUtf8 { .. } => 4000,
            BadField { .. } | NoMessages | BadRecord { .. } | SecondHello => 4000,
            NotBlip { .. } | Version { .. } => 4001,
            AuthTimeout { .. } | AuthTooLate { .. } | AuthNotConfigured { .. } => 4010,
            AuthRequired | AuthFailed { .. } | AuthRevoked => 4010,
            SystemTopic { .. } | NotAllowed { .. } => 4030,
            UnknownTopic { .. } | RemovedTopic { .. } => 4040,
            UnknownRequest { .. } | UnknownSubscription { .. } => 4040,
            Silent { .. } => 4080,
            SubscriptionInUse { .. } | RequestInUse { .. } => 4090,
            FrameTooLong { .. } | MessageTooLong { .. } => 4130,
            BadTopic { .. } | BadPattern { .. } | BadOption { .. } | NotServed { .. } => 4220,
            GroupTooLong { .. } => 4220,
            TlsRequired => 4260,
            SlowSubscriber { .. } => 4290,
            TooManyConnections { .. } | TooManyOfAddress { .. } => 4291,
            TooFastOfAddress { .. } | LoginNotChecked { .. } | LimitReached { .. } => 4291,
            Stopping => 5030,
        }
    }

    /// Returns whether a login failed.
    pub fn refuses_login(&self) -> bool {
        self.code() == 4010 && *self != Reject::AuthRevoked
    }

    /// Returns whether the connection closes after the ERROR frame.
    pub fn is_fatal(&self) -> bool {
        match self.code() {
            4030 | 4040 | 4090 | 4220 => false,
            4291 => !matches!(self, Reject::LimitReached { .. }),
            _ => true,
        }
    }

    /// Returns the request or subscription that the ERROR frame names, 0 if it names none.
    pub fn about(&self) -> u32 {
        use Reject::*;
        match *self {
            SystemTopic { request, .. } | BadTopic { request, .. } => request,
            UnknownRequest { request } | RequestInUse { request } => request,
            UnknownSubscription { subscription }
            | SubscriptionInUse { subscription }
            | BadPattern { subscription, .. }
            | GroupTooLong { subscription, .. }
            | SlowSubscriber { subscription, .. } => subscription,
            BadOption { about, .. } | NotServed { about, .. } => about,
            LimitReached { about, .. } | NotAllowed { about, .. } => about,
            _ => 0,
        }
    }
}
