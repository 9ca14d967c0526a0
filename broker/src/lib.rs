//! The process: configuration, listeners, dispatch.
