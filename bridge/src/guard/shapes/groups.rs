//! Requests of consumer groups and of transactions. Data only.

use crate::guard::shape::{
    BYTES, INT8, INT16, INT32, INT64, NEVER, Shape, TEXT, UUID, array, field, group,
};

pub(crate) static OFFSET_COMMIT: Shape = Shape::new(
    8,
    &[
        field("group_id", TEXT),
        field("generation_id_or_member_epoch", INT32),
        field("member_id", TEXT),
        field("group_instance_id", TEXT).since(7),
        field("retention_time_ms", INT64).until(4),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("committed_offset", INT64),
                        field("committed_leader_epoch", INT32).since(6),
                        field("committed_metadata", TEXT),
                    ])),
                ),
            ])),
        ),
    ],
);

pub(crate) static OFFSET_FETCH: Shape = Shape::new(
    6,
    &[
        field("group_id", TEXT).until(7),
        field(
            "topics",
            array(&group(&[field("name", TEXT), field("partition_indexes", array(&INT32))])),
        )
        .until(7),
        field(
            "groups",
            array(&group(&[
                field("group_id", TEXT),
                field("member_id", TEXT).since(9),
                field("member_epoch", INT32).since(9),
                field(
                    "topics",
                    array(&group(&[
                        field("name", TEXT),
                        field("partition_indexes", array(&INT32)),
                    ])),
                ),
            ])),
        )
        .since(8),
        field("require_stable", INT8).since(7),
    ],
);

pub(crate) static FIND_COORDINATOR: Shape = Shape::new(
    3,
    &[
        field("key", TEXT).until(3),
        field("key_type", INT8).since(1),
        field("coordinator_keys", array(&TEXT)).since(4),
    ],
);

pub(crate) static JOIN_GROUP: Shape = Shape::new(
    6,
    &[
        field("group_id", TEXT),
        field("session_timeout_ms", INT32),
        field("rebalance_timeout_ms", INT32).since(1),
        field("member_id", TEXT),
        field("group_instance_id", TEXT).since(5),
        field("protocol_type", TEXT),
        field("protocols", array(&group(&[field("name", TEXT), field("metadata", BYTES)]))),
        field("reason", TEXT).since(8),
    ],
);

pub(crate) static HEARTBEAT: Shape = Shape::new(
    4,
    &[
        field("group_id", TEXT),
        field("generation_id", INT32),
        field("member_id", TEXT),
        field("group_instance_id", TEXT).since(3),
    ],
);

pub(crate) static LEAVE_GROUP: Shape = Shape::new(
    4,
    &[
        field("group_id", TEXT),
        field("member_id", TEXT).until(2),
        field(
            "members",
            array(&group(&[
                field("member_id", TEXT),
                field("group_instance_id", TEXT),
                field("reason", TEXT).since(5),
            ])),
        )
        .since(3),
    ],
);

pub(crate) static SYNC_GROUP: Shape = Shape::new(
    4,
    &[
        field("group_id", TEXT),
        field("generation_id", INT32),
        field("member_id", TEXT),
        field("group_instance_id", TEXT).since(3),
        field("protocol_type", TEXT).since(5),
        field("protocol_name", TEXT).since(5),
        field(
            "assignments",
            array(&group(&[field("member_id", TEXT), field("assignment", BYTES)])),
        ),
    ],
);

pub(crate) static DESCRIBE_GROUPS: Shape = Shape::new(
    5,
    &[field("groups", array(&TEXT)), field("include_authorized_operations", INT8).since(3)],
);

pub(crate) static LIST_GROUPS: Shape = Shape::new(
    3,
    &[field("states_filter", array(&TEXT)).since(4), field("types_filter", array(&TEXT)).since(5)],
);

pub(crate) static DELETE_GROUPS: Shape = Shape::new(2, &[field("groups_names", array(&TEXT))]);

pub(crate) static OFFSET_DELETE: Shape = Shape::new(
    NEVER,
    &[
        field("group_id", TEXT),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field("partitions", array(&group(&[field("partition_index", INT32)]))),
            ])),
        ),
    ],
);

pub(crate) static CONSUMER_GROUP_HEARTBEAT: Shape = Shape::new(
    0,
    &[
        field("group_id", TEXT),
        field("member_id", TEXT),
        field("member_epoch", INT32),
        field("instance_id", TEXT),
        field("rack_id", TEXT),
        field("rebalance_timeout_ms", INT32),
        field("subscribed_topic_names", array(&TEXT)),
        field("subscribed_topic_regex", TEXT).since(1),
        field("server_assignor", TEXT),
        field(
            "topic_partitions",
            array(&group(&[field("topic_id", UUID), field("partitions", array(&INT32))])),
        ),
    ],
);

pub(crate) static CONSUMER_GROUP_DESCRIBE: Shape = Shape::new(
    0,
    &[field("group_ids", array(&TEXT)), field("include_authorized_operations", INT8)],
);

pub(crate) static ADD_PARTITIONS_TO_TXN: Shape = Shape::new(
    3,
    &[
        field(
            "transactions",
            array(&group(&[
                field("transactional_id", TEXT),
                field("producer_id", INT64),
                field("producer_epoch", INT16),
                field("verify_only", INT8),
                field(
                    "topics",
                    array(&group(&[field("name", TEXT), field("partitions", array(&INT32))])),
                ),
            ])),
        )
        .since(4),
        field("v3_and_below_transactional_id", TEXT).until(3),
        field("v3_and_below_producer_id", INT64).until(3),
        field("v3_and_below_producer_epoch", INT16).until(3),
        field(
            "v3_and_below_topics",
            array(&group(&[field("name", TEXT), field("partitions", array(&INT32))])),
        )
        .until(3),
    ],
);

pub(crate) static ADD_OFFSETS_TO_TXN: Shape = Shape::new(
    3,
    &[
        field("transactional_id", TEXT),
        field("producer_id", INT64),
        field("producer_epoch", INT16),
        field("group_id", TEXT),
    ],
);

pub(crate) static END_TXN: Shape = Shape::new(
    3,
    &[
        field("transactional_id", TEXT),
        field("producer_id", INT64),
        field("producer_epoch", INT16),
        field("committed", INT8),
    ],
);

pub(crate) static TXN_OFFSET_COMMIT: Shape = Shape::new(
    3,
    &[
        field("transactional_id", TEXT),
        field("group_id", TEXT),
        field("producer_id", INT64),
        field("producer_epoch", INT16),
        field("generation_id", INT32).since(3),
        field("member_id", TEXT).since(3),
        field("group_instance_id", TEXT).since(3),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("committed_offset", INT64),
                        field("committed_leader_epoch", INT32).since(2),
                        field("committed_metadata", TEXT),
                    ])),
                ),
            ])),
        ),
    ],
);
