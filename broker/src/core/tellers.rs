//! How often a core tells of each kind of news that peers can bring about at will. Tells nothing.

use crate::teller::Teller;

/// One for each kind, so that none keeps another from being heard.
#[derive(Debug, Default)]
pub(crate) struct Tellers([Teller; News::ALL.len()]);

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A client that was let in.
    Came,
    /// A client whose connection is over.
    Went,
    /// A client that was not let in.
    Refused,
    /// A connection whose bytes cannot be read.
    Unread,
    /// A session that another connection took up.
    TakenOver,
    /// A packet beyond its limit.
    TooLarge,
    /// A message that its share group gave up.
    GivenUp,
}

impl News {
    const ALL: [Self; 7] = [
        Self::Came,
        Self::Went,
        Self::Refused,
        Self::Unread,
        Self::TakenOver,
        Self::TooLarge,
        Self::GivenUp,
    ];

    const fn words(self) -> &'static str {
        match self {
            Self::Came => "clients that connected",
            Self::Went => "clients that disconnected",
            Self::Refused => "connections that were refused",
            Self::Unread => "connections",
            Self::TakenOver => "sessions that were taken over",
            Self::TooLarge => "packets that are too large",
            Self::GivenUp => "messages that were given up",
        }
    }
}

impl Tellers {
    /// Whether there is room for one more of these in this second.
    pub(crate) fn may_tell(&mut self, news: News, now_s: i64) -> bool {
        self.0.get_mut(news as usize).is_some_and(|teller| teller.may_tell(now_s, news.words()))
    }

    /// Says what was left out of seconds that are over.
    pub(crate) fn settle(&mut self, now_s: i64) {
        for (teller, news) in self.0.iter_mut().zip(News::ALL) {
            teller.settle(now_s, news.words());
        }
    }
}
