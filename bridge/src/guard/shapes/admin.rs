//! Requests of those that look at the broker and change it. Data only.

use crate::guard::shape::{
    BYTES, INT8, INT16, INT32, INT64, NEVER, Shape, TEXT, UUID, array, field, group, maybe,
};

pub(crate) static CREATE_TOPICS: Shape = Shape::new(
    5,
    &[
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field("num_partitions", INT32),
                field("replication_factor", INT16),
                field(
                    "assignments",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("broker_ids", array(&INT32)),
                    ])),
                ),
                field("configs", array(&group(&[field("name", TEXT), field("value", TEXT)]))),
            ])),
        ),
        field("timeout_ms", INT32),
        field("validate_only", INT8),
    ],
);

pub(crate) static DESCRIBE_TRANSACTIONS: Shape =
    Shape::new(0, &[field("transactional_ids", array(&TEXT))]);

pub(crate) static LIST_TRANSACTIONS: Shape = Shape::new(
    0,
    &[
        field("state_filters", array(&TEXT)),
        field("producer_id_filters", array(&INT64)),
        field("duration_filter", INT64).since(1),
    ],
);

pub(crate) static DELETE_TOPICS: Shape = Shape::new(
    4,
    &[
        field("topics", array(&group(&[field("name", TEXT), field("topic_id", UUID)]))).since(6),
        field("topic_names", array(&TEXT)).until(5),
        field("timeout_ms", INT32),
    ],
);

pub(crate) static DELETE_RECORDS: Shape = Shape::new(
    2,
    &[
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[field("partition_index", INT32), field("offset", INT64)])),
                ),
            ])),
        ),
        field("timeout_ms", INT32),
    ],
);

pub(crate) static DESCRIBE_ACLS: Shape = Shape::new(
    2,
    &[
        field("resource_type_filter", INT8),
        field("resource_name_filter", TEXT),
        field("pattern_type_filter", INT8),
        field("principal_filter", TEXT),
        field("host_filter", TEXT),
        field("operation", INT8),
        field("permission_type", INT8),
    ],
);

pub(crate) static DESCRIBE_CONFIGS: Shape = Shape::new(
    4,
    &[
        field(
            "resources",
            array(&group(&[
                field("resource_type", INT8),
                field("resource_name", TEXT),
                field("configuration_keys", array(&TEXT)),
            ])),
        ),
        field("include_synonyms", INT8),
        field("include_documentation", INT8).since(3),
    ],
);

pub(crate) static ALTER_CONFIGS: Shape = Shape::new(
    2,
    &[
        field(
            "resources",
            array(&group(&[
                field("resource_type", INT8),
                field("resource_name", TEXT),
                field("configs", array(&group(&[field("name", TEXT), field("value", TEXT)]))),
            ])),
        ),
        field("validate_only", INT8),
    ],
);

pub(crate) static DESCRIBE_LOG_DIRS: Shape = Shape::new(
    2,
    &[field("topics", array(&group(&[field("topic", TEXT), field("partitions", array(&INT32))])))],
);

pub(crate) static CREATE_PARTITIONS: Shape = Shape::new(
    2,
    &[
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field("count", INT32),
                field("assignments", array(&group(&[field("broker_ids", array(&INT32))]))),
            ])),
        ),
        field("timeout_ms", INT32),
        field("validate_only", INT8),
    ],
);

pub(crate) static INCREMENTAL_ALTER_CONFIGS: Shape = Shape::new(
    1,
    &[
        field(
            "resources",
            array(&group(&[
                field("resource_type", INT8),
                field("resource_name", TEXT),
                field(
                    "configs",
                    array(&group(&[
                        field("name", TEXT),
                        field("config_operation", INT8),
                        field("value", TEXT),
                    ])),
                ),
            ])),
        ),
        field("validate_only", INT8),
    ],
);

pub(crate) static DESCRIBE_CLUSTER: Shape = Shape::new(
    0,
    &[
        field("include_cluster_authorized_operations", INT8),
        field("endpoint_type", INT8).since(1),
        field("include_fenced_brokers", INT8).since(2),
    ],
);

pub(crate) static DESCRIBE_PRODUCERS: Shape = Shape::new(
    0,
    &[field(
        "topics",
        array(&group(&[field("name", TEXT), field("partition_indexes", array(&INT32))])),
    )],
);

pub(crate) static DESCRIBE_TOPIC_PARTITIONS: Shape = Shape::new(
    0,
    &[
        field("topics", array(&group(&[field("name", TEXT)]))),
        field("response_partition_limit", INT32),
        field("cursor", maybe(&[field("topic_name", TEXT), field("partition_index", INT32)])),
    ],
);

pub(crate) static SASL_HANDSHAKE: Shape = Shape::new(NEVER, &[field("mechanism", TEXT)]);

pub(crate) static SASL_AUTHENTICATE: Shape = Shape::new(2, &[field("auth_bytes", BYTES)]);
