//! Requests of those that produce and fetch. Data only.

use crate::guard::shape::{
    BYTES, INT8, INT16, INT32, INT64, Shape, TEXT, UUID, array, field, group, tagged,
};

pub(crate) static PRODUCE: Shape = Shape::new(
    9,
    &[
        field("transactional_id", TEXT),
        field("acks", INT16),
        field("timeout_ms", INT32),
        field(
            "topic_data",
            array(&group(&[
                field("name", TEXT).until(12),
                field("topic_id", UUID).since(13),
                field(
                    "partition_data",
                    array(&group(&[field("index", INT32), field("records", BYTES)])),
                ),
            ])),
        ),
    ],
);

pub(crate) static FETCH: Shape = Shape::new(
    12,
    &[
        field("replica_id", INT32).until(14),
        field("max_wait_ms", INT32),
        field("min_bytes", INT32),
        field("max_bytes", INT32),
        field("isolation_level", INT8),
        field("session_id", INT32).since(7),
        field("session_epoch", INT32).since(7),
        field(
            "topics",
            array(&group(&[
                field("topic", TEXT).until(12),
                field("topic_id", UUID).since(13),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition", INT32),
                        field("current_leader_epoch", INT32).since(9),
                        field("fetch_offset", INT64),
                        field("last_fetched_epoch", INT32).since(12),
                        field("log_start_offset", INT64).since(5),
                        field("partition_max_bytes", INT32),
                        tagged(0, "replica_directory_id", UUID).since(17),
                        tagged(1, "high_watermark", INT64).since(18),
                    ])),
                ),
            ])),
        ),
        field(
            "forgotten_topics_data",
            array(&group(&[
                field("topic", TEXT).until(12),
                field("topic_id", UUID).since(13),
                field("partitions", array(&INT32)),
            ])),
        )
        .since(7),
        field("rack_id", TEXT).since(11),
        tagged(0, "cluster_id", TEXT).since(12),
        tagged(
            1,
            "replica_state",
            group(&[field("replica_id", INT32), field("replica_epoch", INT64)]),
        )
        .since(15),
    ],
);

pub(crate) static LIST_OFFSETS: Shape = Shape::new(
    6,
    &[
        field("replica_id", INT32),
        field("isolation_level", INT8).since(2),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("current_leader_epoch", INT32).since(4),
                        field("timestamp", INT64),
                    ])),
                ),
            ])),
        ),
        field("timeout_ms", INT32).since(10),
    ],
);

pub(crate) static METADATA: Shape = Shape::new(
    9,
    &[
        field("topics", array(&group(&[field("topic_id", UUID).since(10), field("name", TEXT)]))),
        field("allow_auto_topic_creation", INT8).since(4),
        field("include_cluster_authorized_operations", INT8).since(8).until(10),
        field("include_topic_authorized_operations", INT8).since(8),
    ],
);

pub(crate) static INIT_PRODUCER_ID: Shape = Shape::new(
    2,
    &[
        field("transactional_id", TEXT),
        field("transaction_timeout_ms", INT32),
        field("producer_id", INT64).since(3),
        field("producer_epoch", INT16).since(3),
    ],
);

pub(crate) static OFFSET_FOR_LEADER_EPOCH: Shape = Shape::new(
    4,
    &[
        field("replica_id", INT32).since(3),
        field(
            "topics",
            array(&group(&[
                field("topic", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition", INT32),
                        field("current_leader_epoch", INT32),
                        field("leader_epoch", INT32),
                    ])),
                ),
            ])),
        ),
    ],
);

pub(crate) static API_VERSIONS: Shape = Shape::new(
    3,
    &[
        field("client_software_name", TEXT).since(3),
        field("client_software_version", TEXT).since(3),
    ],
);

pub(crate) static SASL_HANDSHAKE: Shape = Shape::new(i16::MAX, &[field("mechanism", TEXT)]);

pub(crate) static SASL_AUTHENTICATE: Shape = Shape::new(2, &[field("auth_bytes", BYTES)]);
