//! Reading what somebody uploaded, and writing it anew.
//!
//! What is served is never what came: a picture is decoded to its pixels and encoded again, so nothing else that the file
//! held (place and camera, a script, a second file behind the first) goes on.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};
use serde::Deserialize;

use super::avif;

/// Bytes of an upload at most; the gateway lets no more through either.
pub const UPLOAD_MAX_BYTES: usize = 10 << 20;
/// Pixels of a side at most.
const SIDE_MAX: u32 = 12_000;
/// Pixels at most: what telephones take, and 160 MB while it is read (320 MB with 16 bits a channel).
pub(super) const PIXELS_MAX: u64 = 40_000_000;
/// Bytes that a decoder may take beside the pixels: a colour profile or a text that unpacks to more is left out or refused.
const DECODER_MAX_BYTES: u64 = 64 << 20;
/// Bytes of a file beyond those of its pixels at most: colour profiles, previews and notes fit in. What has more holds
/// something else, or unpacks to far more than it shows.
const BESIDE_MAX_BYTES: u64 = 1 << 20;
/// Quality of a JPEG: above it files grow faster than eyes can tell.
const JPEG_QUALITY: u8 = 85;

/// One of the sizes that every picture is kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Size {
    /// For lists: the longer side has 320 pixels at most.
    Small,
    /// For product pages on telephones: 960.
    Medium,
    /// For product pages: 1,920.
    #[default]
    Large,
}

impl Size {
    /// All, the largest first.
    pub const ALL: [Self; 3] = [Self::Large, Self::Medium, Self::Small];

    /// As in addresses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    fn side(self) -> u32 {
        match self {
            Self::Small => 320,
            Self::Medium => 960,
            Self::Large => 1_920,
        }
    }
}

/// A picture in its sizes.
#[derive(Debug)]
pub struct Rendered {
    /// Width of the largest, in pixels.
    pub width: u32,
    /// Height of the largest, in pixels.
    pub height: u32,
    /// A JPEG, or a lossless WebP where the picture has transparent parts.
    pub files: [(Size, Vec<u8>); 3],
}

/// Why a picture is not taken; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// By its first bytes it is something else.
    #[error("a JPEG, PNG, WebP or AVIF picture")]
    NotAPicture,
    /// It would take too much memory.
    #[error("at most {SIDE_MAX} pixels a side and {PIXELS_MAX} in all; this one has {0} x {1}")]
    TooManyPixels(u32, u32),
    /// A decompression bomb, perhaps.
    #[error("a file no more than {BESIDE_MAX_BYTES} bytes larger than its pixels")]
    TooMuchBeside,
    /// It ends early, contradicts itself, or unpacks to more than it should.
    #[error("a whole picture: it cannot be read")]
    Broken,
}

/// Decodes an upload and encodes its sizes. Takes a core for up to a second.
///
/// # Errors
/// [`Refused`].
pub fn render(upload: &[u8]) -> Result<Rendered, Refused> {
    let large = scaled(&read(upload)?, Size::Large);
    let medium = scaled(&large, Size::Medium);
    let small = scaled(&medium, Size::Small);
    let (width, height) = (large.width(), large.height());
    let mut files = Vec::with_capacity(3);
    for (size, picture) in Size::ALL.into_iter().zip([large, medium, small]) {
        files.push((size, encode(&picture).map_err(|_| Refused::Broken)?));
    }
    Ok(Rendered { width, height, files: files.try_into().expect("three sizes") })
}

/// Its kind, by its content: what the client says of it, and its name, count for nothing.
fn recognise(upload: &[u8]) -> Result<ImageFormat, Refused> {
    match image::guess_format(upload) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Avif)) => {
            Ok(format)
        }
        _ => Err(Refused::NotAPicture),
    }
}

/// The pixels, upright, with 8 bits a channel; transparency only where there is some.
fn read(upload: &[u8]) -> Result<DynamicImage, Refused> {
    let picture = match recognise(upload)? {
        ImageFormat::Avif => avif::read(upload)?,
        format => unpack(upload, format)?,
    };
    if picture.color().has_alpha() {
        let picture = picture.into_rgba8();
        if picture.pixels().any(|pixel| pixel.0[3] < u8::MAX) {
            return Ok(picture.into());
        }
        return Ok(DynamicImage::from(picture).into_rgb8().into());
    }
    Ok(picture.into_rgb8().into())
}

/// Holds what a head says against the limits, before anything is unpacked. `size` in pixels, `file` and `unpacked` in bytes.
pub(super) fn check_size((width, height): (u32, u32), file: u64, unpacked: u64) -> Result<(), Refused> {
    if width.max(height) > SIDE_MAX || u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(Refused::TooManyPixels(width, height));
    }
    if file > unpacked + BESIDE_MAX_BYTES { Err(Refused::TooMuchBeside) } else { Ok(()) }
}

/// The pixels, upright.
fn unpack(upload: &[u8], format: ImageFormat) -> Result<DynamicImage, Refused> {
    let broken = |_: ImageError| Refused::Broken;
    let mut reader = ImageReader::with_format(Cursor::new(upload), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    check_size(decoder.dimensions(), upload.len() as u64, decoder.total_bytes())?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Never larger than it is.
fn scaled(picture: &DynamicImage, size: Size) -> DynamicImage {
    if picture.width().max(picture.height()) <= size.side() {
        return picture.clone();
    }
    picture.resize(size.side(), size.side(), FilterType::Triangle)
}

fn encode(picture: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let mut file = Vec::new();
    if picture.color().has_alpha() {
        picture.write_with_encoder(WebPEncoder::new_lossless(&mut file))?;
    } else {
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY))?;
    }
    Ok(file)
}
