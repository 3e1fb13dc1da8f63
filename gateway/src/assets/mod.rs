//! The static pages: the web folder as it was at the start, compressed once, with validators and the headers that keep
//! foreign scripts out.
//!
//! At a sale's start everybody asks for the same few files: they are answered from memory. A validator is made of the
//! bytes alone, so that all replicas give the same. What pages and scripts load, they name with a version, also made of the
//! bytes (`version`): a browser keeps it for good and never asks again.

mod version;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::body::{Body, Upload, full};
use crate::error::Error;

/// Pages load from here only, are shown in nobody's frame and say nothing about where a click came from. Pictures and
/// sounds may stand in the page itself, where they cost no request.
const SECURITY: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data:; media-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
];

/// The one file that is in no folder.
const OPENAPI: &str = "/openapi.json";
/// How long what carries a version is kept.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// Other names stay when the bytes change: a copy is used only after asking whether it is still the same.
const ASK_AGAIN: &str = "no-cache";

/// Files by path. Made once, shared.
#[derive(Debug)]
pub struct Assets(HashMap<String, File>);

#[derive(Debug, Clone)]
struct File {
    kind: &'static str,
    cache: &'static str,
    plain: Variant,
    /// Where it is smaller by a tenth at least.
    gzip: Option<Variant>,
}

/// One form of a file, with a validator of its own.
#[derive(Debug, Clone)]
struct Variant {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Assets {
    /// The files under `root`; those whose names begin with a dot are nobody's business.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut raw = BTreeMap::new();
        let mut folders = vec![(String::new(), root.to_owned())];
        while let Some((prefix, folder)) = folders.pop() {
            let failed = || format!("the pages in {} cannot be read", folder.display());
            for entry in fs::read_dir(&folder).with_context(failed)? {
                let path = entry.with_context(failed)?.path();
                let name =
                    path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'));
                let Some(name) = name.map(|name| format!("{prefix}/{name}")) else { continue };
                if path.is_dir() {
                    folders.push((name, path));
                } else {
                    raw.insert(name, fs::read(&path).with_context(failed)?);
                }
            }
        }
        let document = crate::openapi::document().to_string().into_bytes();
        raw.insert(OPENAPI.into(), document);
        let mut files = HashMap::new();
        for (name, version::Linked { bytes, version }) in version::link(raw) {
            let file = File::new(bytes, kind(Path::new(&name)))?;
            files.insert(version::with(&name, &version), File { cache: FOR_GOOD, ..file.clone() });
            files.insert(name, file);
        }
        Ok(Self(files))
    }

    /// The file at `path`, a folder's `index.html` included, or 304 when the client has it.
    ///
    /// # Errors
    /// [`Error::NoSuchRoute`] when there is none.
    pub fn serve(&self, request: &Request<Upload>, path: &str) -> Result<Response<Body>, Error> {
        let file = match path.strip_suffix('/') {
            Some(folder) => self.0.get(&format!("{folder}/index.html")),
            // Another version than ours is one of before or after us, while replicas are being replaced: ours will do
            // for the moment.
            None => self.0.get(path).or_else(|| self.0.get(&version::without(path)?)),
        };
        let file = file.ok_or(Error::NoSuchRoute)?;
        let zipped = file.gzip.as_ref().filter(|_| takes_gzip(request.headers()));
        let variant = zipped.unwrap_or(&file.plain);
        let mut response = Response::new(full(variant.bytes.clone()));
        if has(request.headers(), &variant.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = full(Bytes::new());
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
        headers.insert(header::ETAG, variant.tag.clone());
        if file.gzip.is_some() {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if zipped.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(file.cache));
        for (name, value) in SECURITY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

impl File {
    fn new(bytes: Vec<u8>, kind: &'static str) -> anyhow::Result<Self> {
        let digest = Sha256::digest(&bytes);
        let tag = u128::from_be_bytes(std::array::from_fn(|at| digest[at]));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        let zipped = encoder.finish()?;
        let gzip = (zipped.len() * 10 < bytes.len() * 9)
            .then(|| Variant::new(zipped, &format!("\"{tag:032x}-gzip\"")))
            .transpose()?;
        Ok(Self { kind, cache: ASK_AGAIN, plain: Variant::new(bytes, &format!("\"{tag:032x}\""))?, gzip })
    }
}

impl Variant {
    fn new(bytes: Vec<u8>, tag: &str) -> anyhow::Result<Self> {
        Ok(Self { bytes: bytes.into(), tag: HeaderValue::try_from(tag)? })
    }
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// RFC 9110 §12.5.3, for the one coding there is: named, or meant by `*`, and not with weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = || {
        list(headers, header::ACCEPT_ENCODING).map(|coding| coding.split_once(';').unwrap_or((coding, "")))
    };
    let named = |name: &str| codings().find(|(coding, _)| coding.trim().eq_ignore_ascii_case(name));
    named("gzip").or_else(|| named("*")).is_some_and(|(_, weight)| {
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// Whether `If-None-Match` names this form of the file, or any.
fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    list(headers, header::IF_NONE_MATCH).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}
