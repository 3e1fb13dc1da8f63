//! AVIF: one AV1 picture, perhaps with a second one for its transparency, in the boxes of ISO/IEC 23008-12.
//!
//! Decoded by `re_rav1d`, dav1d in Rust. What is read before anything is unpacked: that there is exactly one frame, so that
//! a stream cannot fill the decoder with hidden ones, and its size.

use image::{DynamicImage, RgbImage, RgbaImage};
use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{BitsPerComponent, Decoder, Picture, PixelLayout, PlanarImageComponent, Settings};

use super::boxes::{Item, Still};
use super::picture::{PIXELS_MAX, Refused, check_size};

/// The pixels, upright, with 8 bits a channel; with transparency where the file has some.
///
/// # Errors
/// [`Refused`].
pub(super) fn read(file: &[u8]) -> Result<DynamicImage, Refused> {
    let Still { colour, alpha, premultiplied, turns, mirror } = Still::parse(file).ok_or(Refused::Broken)?;
    let (width, height) = colour.size.ok_or(Refused::Broken)?;
    check_size((width, height), file.len() as u64, u64::from(width) * u64::from(height) * 3)?;
    let colour = rgb(&decode(colour)?)?;
    let mut picture: DynamicImage = match alpha {
        None => colour.into(),
        Some(alpha) => with_alpha(&colour, &decode(alpha)?, premultiplied)?.into(),
    };
    // As the boxes say: first turned against the clock, then mirrored.
    picture = match turns {
        1 => picture.rotate270(),
        2 => picture.rotate180(),
        3 => picture.rotate90(),
        _ => picture,
    };
    Ok(match mirror {
        Some(0) => picture.flipv(),
        Some(_) => picture.fliph(),
        None => picture,
    })
}

/// Decodes a picture of one frame, by this thread alone.
fn decode(item: Item) -> Result<Picture, Refused> {
    let broken = |_| Refused::Broken;
    if !is_one_frame(&item.data) {
        return Err(Refused::Broken);
    }
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(u32::try_from(PIXELS_MAX).unwrap_or(u32::MAX));
    settings.set_strict_std_compliance(true);
    let mut decoder = Decoder::with_settings(&settings).map_err(broken)?;
    decoder.send_data(item.data, None, None, None).map_err(broken)?;
    let picture = decoder.get_picture().map_err(broken)?;
    // The frame is as large as the box said, on which the limits were held.
    if Some((picture.width(), picture.height())) != item.size { Err(Refused::Broken) } else { Ok(picture) }
}

/// Whether these units (AV1, 5.3) hold one sequence and one frame.
fn is_one_frame(mut units: &[u8]) -> bool {
    const SEQUENCE: u8 = 1;
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    let (mut sequences, mut frames) = (0, 0);
    while let Some((head, rest)) = units.split_first() {
        let rest = if head & 4 == 0 { Some(rest) } else { rest.get(1..) };
        let sized = rest.and_then(|rest| if head & 2 == 0 { Some((rest.len(), rest)) } else { leb128(rest) });
        let Some((size, rest)) = sized else { return false };
        match head >> 3 & 15 {
            SEQUENCE => sequences += 1,
            FRAME_HEADER | FRAME => frames += 1,
            _ => {}
        }
        let Some(rest) = rest.get(size..) else { return false };
        units = rest;
    }
    sequences == 1 && frames == 1
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (n, byte) in bytes.iter().enumerate().take(8) {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(n + 1..)?));
        }
    }
    None
}

/// One channel of a decoded picture, brought to the range 0 to 1.
struct Channel {
    plane: re_rav1d::dav1d::Plane,
    stride: usize,
    wide: bool,
    /// How far its pixels are apart, as powers of two.
    shift: (u32, u32),
}

impl Channel {
    fn new(picture: &Picture, component: PlanarImageComponent) -> Self {
        let is_luma = component == PlanarImageComponent::Y;
        let shift = match picture.pixel_layout() {
            PixelLayout::I420 if !is_luma => (1, 1),
            PixelLayout::I422 if !is_luma => (1, 0),
            _ => (0, 0),
        };
        let stride = usize::try_from(picture.stride(component)).unwrap_or_default();
        Self { plane: picture.plane(component), stride, wide: picture.bit_depth() > 8, shift }
    }

    fn at(&self, x: u32, y: u32) -> f32 {
        let (x, y) = ((x >> self.shift.0) as usize, (y >> self.shift.1) as usize);
        if self.wide {
            let at = y * self.stride + 2 * x;
            f32::from(u16::from_ne_bytes([self.plane[at], self.plane[at + 1]]))
        } else {
            f32::from(self.plane[y * self.stride + x])
        }
    }
}

/// What values mean.
struct Scale {
    /// Luma of black.
    floor: f32,
    /// From black to white.
    luma: f32,
    /// From the least to the most colour.
    chroma: f32,
    /// Chroma of grey.
    grey: f32,
}

impl Scale {
    fn of(picture: &Picture) -> Result<Self, Refused> {
        let Some(BitsPerComponent(bits @ 8..=12)) = picture.bits_per_component() else {
            return Err(Refused::Broken);
        };
        let step = f32::from(1_u16 << (bits - 8));
        let (floor, luma, chroma) = match picture.color_range() {
            YUVRange::Full => (0.0, 256.0 * step - 1.0, 256.0 * step - 1.0),
            YUVRange::Limited => (16.0 * step, 219.0 * step, 224.0 * step),
        };
        Ok(Self { floor, luma, chroma, grey: 128.0 * step })
    }
}

/// Red, green and blue of a picture (ITU-T H.273, 8.3).
fn rgb(picture: &Picture) -> Result<RgbImage, Refused> {
    let Scale { floor, luma, chroma, grey } = Scale::of(picture)?;
    let y = Channel::new(picture, PlanarImageComponent::Y);
    let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let size = (picture.width(), picture.height());
    let light = |px, py| (y.at(px, py) - floor) / luma;
    if picture.pixel_layout() == PixelLayout::I400 {
        return Ok(RgbImage::from_fn(size.0, size.1, |px, py| image::Rgb([byte(light(px, py)); 3])));
    }
    let (u, v) =
        (Channel::new(picture, PlanarImageComponent::U), Channel::new(picture, PlanarImageComponent::V));
    let (red, blue) = match picture.matrix_coefficients() {
        MatrixCoefficients::Identity if picture.pixel_layout() == PixelLayout::I444 => {
            let pixel = |px, py| [&v, &y, &u].map(|channel| byte((channel.at(px, py) - floor) / luma));
            return Ok(RgbImage::from_fn(size.0, size.1, |px, py| image::Rgb(pixel(px, py))));
        }
        MatrixCoefficients::BT709 => (0.2126, 0.0722),
        MatrixCoefficients::BT470BG | MatrixCoefficients::ST170M | MatrixCoefficients::Unspecified => {
            (0.299, 0.114)
        }
        MatrixCoefficients::BT2020NonConstantLuminance => (0.2627, 0.0593),
        _ => return Err(Refused::Broken),
    };
    let green = 1.0 - red - blue;
    let pixel = |px, py| {
        let (l, cb, cr) = (light(px, py), (u.at(px, py) - grey) / chroma, (v.at(px, py) - grey) / chroma);
        let (r, b) = (l + 2.0 * (1.0 - red) * cr, l + 2.0 * (1.0 - blue) * cb);
        image::Rgb([byte(r), byte((l - red * r - blue * b) / green), byte(b)])
    };
    Ok(RgbImage::from_fn(size.0, size.1, pixel))
}

fn with_alpha(colour: &RgbImage, alpha: &Picture, premultiplied: bool) -> Result<RgbaImage, Refused> {
    if (alpha.width(), alpha.height()) != colour.dimensions() {
        return Err(Refused::Broken);
    }
    let Scale { floor, luma, .. } = Scale::of(alpha)?;
    let channel = Channel::new(alpha, PlanarImageComponent::Y);
    Ok(RgbaImage::from_fn(colour.width(), colour.height(), |x, y| {
        let alpha = (((channel.at(x, y) - floor) / luma).clamp(0.0, 1.0) * 255.0).round() as u8;
        let part = |value: u8| match alpha {
            1.. if premultiplied => (u16::from(value) * 255 / u16::from(alpha)).min(255) as u8,
            _ => value,
        };
        let image::Rgb([r, g, b]) = *colour.get_pixel(x, y);
        image::Rgba([part(r), part(g), part(b), alpha])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_one_sequence_and_one_frame() {
        let delimiter: &[u8] = &[2 << 3 | 2, 0];
        let sequence: &[u8] = &[1 << 3 | 2, 2, 9, 9];
        let frame: &[u8] = &[6 << 3 | 2, 0x83, 0, 9, 9, 9];
        let unsized_frame: &[u8] = &[6 << 3, 9, 9];
        for (units, expected) in [
            (vec![delimiter, sequence, frame], true),
            (vec![sequence, unsized_frame], true),
            (vec![sequence], false),
            (vec![frame], false),
            (vec![sequence, frame, frame], false),
            (vec![sequence, sequence, frame], false),
            (vec![sequence, &frame[..4]], false),
            (vec![], false),
        ] {
            assert_eq!(is_one_frame(&units.concat()), expected, "{units:?}");
        }
    }
}
