//! What a client may do, by the rules that hold now: each answer about a stream is found once for a
//! connection and a version of the rules. Makes no rule and reads no file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tidewire_proto::access::{Action, Admits, Rights, Rules, Subject, Vouched, rights_of};
use tidewire_proto::topic;
use tidewire_store::Stream;

/// Who has the rules.
pub trait Access: Send + Sync {
    /// Those that hold now; `None`: everybody may do everything.
    fn rules(&self) -> Option<Arc<Rules>>;

    /// The filters whose topics lie in this stream; none: whatever there is.
    fn filters(&self, stream: &str) -> &[String];
}

/// What a client may do.
pub(crate) struct Permit {
    /// The rules that it was made of.
    rules: Option<Arc<Rules>>,
    client_id: Arc<str>,
    bounds: Option<Bounds>,
}

/// Where not everything may be done.
struct Bounds {
    rights: Rights,
    access: Arc<dyn Access>,
    /// What was asked before, by the stream's name.
    streams: RefCell<HashMap<String, OfStream>>,
}

/// What may be done with a stream.
#[derive(Clone, Copy)]
struct OfStream {
    /// All that its filters admit may be read.
    may_read: bool,
    /// It may be seen: some of it may be read whole, or some written.
    may_see: bool,
    /// Some of it may be written.
    may_write: bool,
}

impl Permit {
    /// Of this subject, as of now.
    pub(crate) fn new(
        access: &Arc<dyn Access>,
        subject: Subject,
        vouched: Option<&Vouched>,
    ) -> Self {
        let (rules, client_id) = (access.rules(), Arc::clone(&subject.client_id));
        let rights = rights_of(rules.as_deref(), subject, vouched);
        let bounds = rights.map(|rights| Bounds {
            rights,
            access: Arc::clone(access),
            streams: RefCell::default(),
        });
        Self { rules, client_id, bounds }
    }

    /// Whether it is of these rules, and of a client that calls itself so.
    pub(crate) fn is_of(&self, rules: Option<&Arc<Rules>>, client_id: &str) -> bool {
        let is_same = match (&self.rules, rules) {
            (Some(own), Some(rules)) => Arc::ptr_eq(own, rules),
            (own, rules) => own.is_none() && rules.is_none(),
        };
        is_same && &*self.client_id == client_id
    }

    /// Whether all of a stream may be read.
    pub(crate) fn read(&self, stream: &Stream) -> Result<(), ResponseError> {
        let may = self.of_stream(&stream.name).is_none_or(|may| may.may_read);
        may.then_some(()).ok_or(ResponseError::TopicAuthorizationFailed)
    }

    /// Whether a stream may be seen by who reads or writes it.
    pub(crate) fn sees(&self, stream: &Stream) -> bool {
        self.sees_named(&stream.name)
    }

    /// The same of one that may not be there any more.
    pub(crate) fn sees_named(&self, stream: &str) -> bool {
        self.of_stream(stream).is_none_or(|may| may.may_see)
    }

    /// Whether anything may be written into a stream: nothing is looked into for who may not.
    pub(crate) fn writes(&self, stream: &Stream) -> Result<(), ResponseError> {
        let may = self.of_stream(&stream.name).is_none_or(|may| may.may_write);
        may.then_some(()).ok_or(ResponseError::TopicAuthorizationFailed)
    }

    /// Whether a message may be written into this stream. With rules, only what belongs there:
    /// who reads it was asked for the rights to just that.
    pub(crate) fn write(&self, stream: &str, topic: &str, is_retained: bool) -> bool {
        let Some(bounds) = &self.bounds else { return true };
        let actions = bounds.rights.actions(topic);
        let filters = bounds.access.filters(stream);
        let takes = |filter: &String| is_everything(filter) || topic::matches(filter, topic);
        actions.has(Action::KafkaWrite)
            && (!is_retained || actions.has(Action::Retained))
            && (filters.is_empty() || filters.iter().any(takes))
    }

    /// Whether a consumer group may be used.
    pub(crate) fn group(&self, name: &str) -> Result<(), ResponseError> {
        self.name(Action::KafkaGroup, name, ResponseError::GroupAuthorizationFailed)
    }

    /// Whether a transactional id may be used.
    pub(crate) fn transaction(&self, id: &str) -> Result<(), ResponseError> {
        let no = ResponseError::TransactionalIdAuthorizationFailed;
        self.name(Action::KafkaTransaction, id, no)
    }

    /// Whether a stream may be changed, and how it is made be seen.
    pub(crate) fn admin(&self, stream: &str) -> Result<(), ResponseError> {
        self.name(Action::KafkaAdmin, stream, ResponseError::TopicAuthorizationFailed)
    }

    /// The same of the broker as a whole.
    pub(crate) fn admin_all(&self) -> Result<(), ResponseError> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        let admits = bounds.rights.admits(Action::KafkaAdmin, "#");
        let may = admits == Admits::All;
        may.then_some(()).ok_or(ResponseError::ClusterAuthorizationFailed)
    }

    /// Whether there are rules at all.
    pub(crate) fn has_rules(&self) -> bool {
        self.bounds.is_some()
    }

    fn name(&self, action: Action, name: &str, no: ResponseError) -> Result<(), ResponseError> {
        let may = self.bounds.as_ref().is_none_or(|bounds| bounds.rights.may(action, name));
        may.then_some(()).ok_or(no)
    }

    /// `None`: everything.
    fn of_stream(&self, name: &str) -> Option<OfStream> {
        let bounds = self.bounds.as_ref()?;
        // Those without filters are all alike: a client can name any number of them.
        let known_as = if bounds.access.filters(name).is_empty() { "" } else { name };
        if let Some(known) = bounds.streams.borrow().get(known_as) {
            return Some(*known);
        }
        let found = bounds.of_stream(name);
        bounds.streams.borrow_mut().insert(known_as.to_owned(), found);
        Some(found)
    }
}

impl Bounds {
    fn of_stream(&self, name: &str) -> OfStream {
        let everything = ["#".to_owned()];
        let filters = match self.access.filters(name) {
            [] => &everything[..],
            filters => filters,
        };
        let covers = |filter: &String| {
            self.rights.admits(Action::KafkaRead, filter) == Admits::All
                // There lies what begins with `$`, too, and no filter speaks of all of that.
                && (!is_everything(filter) || !self.rights.has_denial(Action::KafkaRead))
        };
        let may_read = filters.iter().all(covers);
        let takes =
            |filter: &String| self.rights.admits(Action::KafkaWrite, filter) != Admits::None;
        let may_write = filters.iter().any(takes);
        OfStream { may_read, may_see: may_read || may_write, may_write }
    }
}

/// Whether a stream with it takes whatever no other one takes.
fn is_everything(filter: &str) -> bool {
    filter == "#"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::access::{Place, Rules, Subject, Wide, parse_rules};

    use super::{Access, Permit};

    struct Fixed(Option<Arc<Rules>>, Vec<(&'static str, Vec<String>)>);

    impl Access for Fixed {
        fn rules(&self) -> Option<Arc<Rules>> {
            self.0.clone()
        }

        fn filters(&self, stream: &str) -> &[String] {
            let found = self.1.iter().find(|(name, _)| *name == stream);
            found.map_or(&[], |(_, filters)| filters)
        }
    }

    fn permit(rules: Option<&str>) -> Permit {
        let rules = rules.map(|text| {
            let parsed = parse_rules(text).expect("good rules");
            Arc::new(Rules::new(vec![parsed], Wide::Refuse))
        });
        let filters = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let streams = vec![
            ("mqtt", filters(&["#"])),
            ("plant", filters(&["plant/#", "site/+/plant/#"])),
            ("one", filters(&["one"])),
        ];
        let access: Arc<dyn Access> = Arc::new(Fixed(rules, streams));
        let place = Place { address: "10.1.2.3".parse().ok(), listener: "kafka" };
        let user = Some("ann".into());
        Permit::new(&access, Subject { user, place: Some(place), ..Subject::default() }, None)
    }

    /// Of each stream: r, it may be read; s, it may be seen.
    fn streams(rules: Option<&str>) -> String {
        let permit = permit(rules);
        let of = |name: &&str| match permit.of_stream(name) {
            None => "rs".to_owned(),
            Some(may) => {
                format!(
                    "{}{}",
                    if may.may_read { "r" } else { "" },
                    if may.may_see { "s" } else { "" }
                )
            }
        };
        ["mqtt", "plant", "one", "of before"].iter().map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stream_may_be_read_by_who_may_read_all_that_its_filters_admit() {
        for (rules, expected) in [
            (None, "rs rs rs rs"),
            (Some(""), "   "),
            (Some("allow user=ann kafka-read #"), "rs rs rs rs"),
            (Some("allow user=bob kafka-read #"), "   "),
            (Some("allow user=ann subscribe #"), "   "),
            (Some("allow user=ann kafka-read plant/#"), "   "),
            (Some("allow user=ann kafka-read plant/#\nallow user=ann read site/#"), " rs  "),
            (Some("allow user=ann read #\ndeny everyone kafka-read plant/secret"), "  rs "),
            (Some("allow user=ann read #\ndeny everyone read $inner/#"), " rs rs "),
            (Some("allow user=ann kafka-write plant/1"), "s s  s"),
            (Some("allow listener=kafka kafka-read one"), "  rs "),
            (Some("allow listener=kafkas kafka-read one"), "   "),
        ] {
            assert_eq!(streams(rules), expected, "{rules:?}");
        }
    }

    #[test]
    fn of_names_that_a_client_makes_up_nothing_is_remembered() {
        let permit = permit(Some("allow user=ann kafka-write plant/#"));
        for n in 0..1000 {
            assert!(permit.sees_named("plant") && permit.sees_named(&format!("made up {n}")));
            assert!(!permit.sees_named("one"));
        }
        let known = permit.bounds.as_ref().map(|bounds| bounds.streams.borrow().len());
        assert_eq!(known, Some(3), "two streams, and all others together");
    }

    #[test]
    fn a_message_is_asked_for_its_own_topic_and_belongs_to_the_stream() {
        let rules = "allow user=ann kafka-write plant/#\nallow user=ann write kept/%u";
        let permit = permit(Some(rules));
        for (stream, topic, is_retained, expected) in [
            ("plant", "plant/1", false, true),
            ("plant", "plant/1", true, false),
            ("mqtt", "plant/1", false, true),
            ("mqtt", "kept/ann", true, true),
            ("mqtt", "kept/bob", true, false),
            ("plant", "kept/ann", false, false),
            ("one", "plant/1", false, false),
            ("of before", "plant/1", false, true),
        ] {
            assert_eq!(permit.write(stream, topic, is_retained), expected, "{stream} {topic}");
        }
    }

    #[test]
    fn groups_transactions_and_streams_are_asked_for_by_name() {
        let rules = "allow user=ann kafka-group %u-app\nallow user=ann kafka-transaction t/+\n\
                     allow user=ann kafka-admin plant";
        let narrow = permit(Some(rules));
        assert!(narrow.group("ann-app").is_ok() && narrow.group("bob-app").is_err());
        assert!(narrow.transaction("t/1").is_ok() && narrow.transaction("t").is_err());
        assert!(narrow.admin("plant").is_ok() && narrow.admin("mqtt").is_err());
        assert!(narrow.admin_all().is_err());
        for all in [None, Some("allow user=ann any #")] {
            let all = permit(all);
            assert!(all.group("x/y").is_ok() && all.transaction("+").is_ok());
            assert!(all.admin("plant").is_ok() && all.admin_all().is_ok());
        }
    }
}
