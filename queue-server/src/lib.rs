//! queue-server
