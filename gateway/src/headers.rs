//! Headers that belong to one connection, not to the request.

use http::header::{self, HeaderMap, HeaderName};

/// RFC 9110 §7.6.1, and what has to be answered by whoever is next: `Expect` (hyper sends the 100), `Upgrade`
/// (see [`crate::tunnel`]), `Trailer` (trailers are not passed on).
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "http2-settings",
];

/// Removes what ends at this hop, including what `Connection` names.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        // To take these out of a request would change where it goes or where it ends.
        if name != header::HOST && name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lists = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}
