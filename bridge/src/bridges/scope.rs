//! What of the log a bridge reads: which streams, which topics in them. Reads nothing.

use tidewire_proto::id::PartitionId;
use tidewire_proto::topic::TopicFilter;
use tidewire_store::Stream;

/// What a bridge reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Names of streams; none: all that there are and will be.
    pub(crate) streams: Vec<String>,
    /// Filters of topics; none: every record, also those whose key is no topic.
    pub(crate) filters: Vec<TopicFilter>,
}

impl Scope {
    /// Whether it reads this stream.
    pub(crate) fn has(&self, stream: &str) -> bool {
        self.streams.is_empty() || self.streams.iter().any(|name| name == stream)
    }

    /// The partitions that it reads.
    pub(crate) fn partitions(&self, streams: &[Stream]) -> Vec<PartitionId> {
        let read = streams.iter().filter(|stream| self.has(&stream.name));
        read.flat_map(|stream| stream.partitions.iter().copied()).collect()
    }

    /// Whether a record with this key is meant.
    pub(crate) fn admits(&self, key: Option<&[u8]>) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        let topic = key.and_then(|key| std::str::from_utf8(key).ok());
        topic.is_some_and(|topic| self.filters.iter().any(|filter| filter.matches(topic)))
    }

    /// The filters, if reading by them spares anything.
    pub(crate) fn narrow(&self) -> Option<&[TopicFilter]> {
        let is_narrow = |filter: &TopicFilter| !matches!(filter.as_str(), "#" | "+/#");
        let narrow = !self.filters.is_empty() && self.filters.iter().all(is_narrow);
        narrow.then_some(&self.filters)
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::topic::TopicFilter;
    use tidewire_store::{Stream, StreamConfig};

    use super::Scope;

    #[test]
    fn a_scope_is_streams_and_filters_and_says_all_where_it_names_none() {
        let stream = |name: &str, id| Stream {
            name: name.into(),
            config: StreamConfig::default(),
            partitions: vec![PartitionId(id)],
            layouts: Vec::new(),
        };
        let streams = [stream("a", 1), stream("b", 2)];
        let filter = |text| TopicFilter::parse(text).expect("valid");
        let all = Scope::default();
        assert_eq!(all.partitions(&streams), [PartitionId(1), PartitionId(2)]);
        assert!(all.admits(None) && all.admits(Some(&[0xff])) && all.narrow().is_none());
        let some = Scope { streams: vec!["b".into()], filters: vec![filter("x/+")] };
        assert_eq!(some.partitions(&streams), [PartitionId(2)]);
        assert!(some.admits(Some(b"x/1")) && some.narrow().is_some());
        assert!(!some.admits(Some(b"y")) && !some.admits(None) && !some.admits(Some(&[0xff])));
        let wide = Scope { streams: Vec::new(), filters: vec![filter("x"), filter("#")] };
        assert!(wide.narrow().is_none());
    }
}
