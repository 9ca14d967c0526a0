//! Answers of somebody else's Kafka, in the versions that our own client asks for. Data only.

use crate::guard::shape::{
    BYTES, INT8, INT16, INT32, INT64, NEVER, Shape, TEXT, array, field, group,
};

pub(crate) static API_VERSIONS: Shape = Shape::new(
    NEVER,
    &[
        field("error_code", INT16),
        field(
            "api_keys",
            array(&group(&[
                field("api_key", INT16),
                field("min_version", INT16),
                field("max_version", INT16),
            ])),
        ),
    ],
);

pub(crate) static SASL_HANDSHAKE: Shape =
    Shape::new(NEVER, &[field("error_code", INT16), field("mechanisms", array(&TEXT))]);

pub(crate) static SASL_AUTHENTICATE: Shape = Shape::new(
    NEVER,
    &[field("error_code", INT16), field("error_message", TEXT), field("auth_bytes", BYTES)],
);

pub(crate) static METADATA: Shape = Shape::new(
    NEVER,
    &[
        field("throttle_time_ms", INT32),
        field(
            "brokers",
            array(&group(&[
                field("node_id", INT32),
                field("host", TEXT),
                field("port", INT32),
                field("rack", TEXT),
            ])),
        ),
        field("cluster_id", TEXT),
        field("controller_id", INT32),
        field(
            "topics",
            array(&group(&[
                field("error_code", INT16),
                field("name", TEXT),
                field("is_internal", INT8),
                field(
                    "partitions",
                    array(&group(&[
                        field("error_code", INT16),
                        field("partition_index", INT32),
                        field("leader_id", INT32),
                        field("replica_nodes", array(&INT32)),
                        field("isr_nodes", array(&INT32)),
                    ])),
                ),
            ])),
        ),
    ],
);

pub(crate) static FIND_COORDINATOR: Shape = Shape::new(
    NEVER,
    &[
        field("throttle_time_ms", INT32),
        field("error_code", INT16),
        field("error_message", TEXT),
        field("node_id", INT32),
        field("host", TEXT),
        field("port", INT32),
    ],
);

pub(crate) static INIT_PRODUCER_ID: Shape = Shape::new(
    NEVER,
    &[
        field("throttle_time_ms", INT32),
        field("error_code", INT16),
        field("producer_id", INT64),
        field("producer_epoch", INT16),
    ],
);

pub(crate) static ADD_PARTITIONS_TO_TXN: Shape = Shape::new(
    NEVER,
    &[
        field("throttle_time_ms", INT32),
        field(
            "results_by_topic",
            array(&group(&[
                field("name", TEXT),
                field(
                    "results_by_partition",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("partition_error_code", INT16),
                    ])),
                ),
            ])),
        ),
    ],
);

/// AddOffsetsToTxn and EndTxn answer alike.
pub(crate) static ERROR_ALONE: Shape =
    Shape::new(NEVER, &[field("throttle_time_ms", INT32), field("error_code", INT16)]);

pub(crate) static TXN_OFFSET_COMMIT: Shape = Shape::new(
    NEVER,
    &[
        field("throttle_time_ms", INT32),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[field("partition_index", INT32), field("error_code", INT16)])),
                ),
            ])),
        ),
    ],
);

pub(crate) static OFFSET_FETCH: Shape = Shape::new(
    6,
    &[
        field("throttle_time_ms", INT32),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("committed_offset", INT64),
                        field("committed_leader_epoch", INT32),
                        field("metadata", TEXT),
                        field("error_code", INT16),
                    ])),
                ),
            ])),
        ),
        field("error_code", INT16),
    ],
);

pub(crate) static PRODUCE: Shape = Shape::new(
    9,
    &[
        field(
            "responses",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partition_responses",
                    array(&group(&[
                        field("index", INT32),
                        field("error_code", INT16),
                        field("base_offset", INT64),
                        field("log_append_time_ms", INT64),
                        field("log_start_offset", INT64),
                        field(
                            "record_errors",
                            array(&group(&[
                                field("batch_index", INT32),
                                field("batch_index_error_message", TEXT),
                            ])),
                        )
                        .since(8),
                        field("error_message", TEXT).since(8),
                    ])),
                ),
            ])),
        ),
        field("throttle_time_ms", INT32),
    ],
);

pub(crate) static FETCH: Shape = Shape::new(
    12,
    &[
        field("throttle_time_ms", INT32),
        field("error_code", INT16),
        field("session_id", INT32),
        field(
            "responses",
            array(&group(&[
                field("topic", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("error_code", INT16),
                        field("high_watermark", INT64),
                        field("last_stable_offset", INT64),
                        field("log_start_offset", INT64),
                        field(
                            "aborted_transactions",
                            array(&group(&[
                                field("producer_id", INT64),
                                field("first_offset", INT64),
                            ])),
                        ),
                        field("records", BYTES),
                    ])),
                ),
            ])),
        ),
    ],
);

pub(crate) static LIST_OFFSETS: Shape = Shape::new(
    6,
    &[
        field("throttle_time_ms", INT32),
        field(
            "topics",
            array(&group(&[
                field("name", TEXT),
                field(
                    "partitions",
                    array(&group(&[
                        field("partition_index", INT32),
                        field("error_code", INT16),
                        field("timestamp", INT64),
                        field("offset", INT64),
                    ])),
                ),
            ])),
        ),
    ],
);
