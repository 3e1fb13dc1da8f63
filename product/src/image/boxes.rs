//! The boxes of an AVIF file (ISO/IEC 14496-12, 23008-12; AV1 Image File Format), as far as a still picture in one piece
//! needs them. Everything is read with bounds: a file that lies about a length holds no picture.

use std::collections::HashMap;

/// Items and properties of a file at most: a picture with its transparency, metadata and thumbnails has some ten.
const MANY: usize = 256;

/// A still picture.
#[derive(Debug)]
pub(super) struct Still {
    pub(super) colour: Item,
    pub(super) alpha: Option<Item>,
    /// The colours were multiplied by the transparency.
    pub(super) premultiplied: bool,
    /// Quarter turns against the clock.
    pub(super) turns: u8,
    /// 0: top and bottom are exchanged; 1: left and right.
    pub(super) mirror: Option<u8>,
}

/// An AV1 picture.
#[derive(Debug)]
pub(super) struct Item {
    /// Its units.
    pub(super) data: Vec<u8>,
    /// Width and height, as the file says.
    pub(super) size: Option<(u32, u32)>,
}

/// A property of an item, as it stands in the file.
type Property<'a> = (&'a [u8], &'a [u8]);

/// Bytes that are still to be read.
#[derive(Debug, Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes, 8 at most.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn index(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.number(bytes)?).ok()
    }

    /// Version and flags.
    fn full(&mut self) -> Option<(u64, u64)> {
        Some((self.number(1)?, self.number(3)?))
    }

    /// The next box: its kind and what is in it.
    fn next_box(&mut self) -> Option<(&'a [u8], Bytes<'a>)> {
        let size = self.index(4)?;
        let kind = self.take(4)?;
        let body = match size {
            0 => self.0.len(),
            1 => self.index(8)?.checked_sub(16)?,
            _ => size.checked_sub(8)?,
        };
        Some((kind, Bytes(self.take(body)?)))
    }

    /// The first box of this kind.
    fn find(mut self, kind: &[u8; 4]) -> Option<Bytes<'a>> {
        loop {
            let (found, body) = self.next_box()?;
            if found == kind {
                return Some(body);
            }
        }
    }
}

impl Still {
    /// What a file holds; nothing where it is broken, or its picture is put together of several.
    pub(super) fn parse(file: &[u8]) -> Option<Self> {
        let mut meta = Bytes(file).find(b"meta")?;
        meta.full()?;
        let kinds = kinds(meta.find(b"iinf")?)?;
        let places =
            Places { file, inner: meta.find(b"idat").map(|data| data.0), at: places(meta.find(b"iloc")?)? };
        let properties = Properties::parse(meta.find(b"iprp")?)?;
        let references = meta.find(b"iref").map_or(Some(Vec::new()), references)?;
        let mut main = meta.find(b"pitm")?;
        let id = match main.full()? {
            (0, _) => main.number(2)?,
            _ => main.number(4)?,
        };
        let is_picture = |id: &u64| kinds.get(id).is_some_and(|kind| *kind == b"av01");
        let item = |id: u64| {
            let size = properties.of(id, b"ispe").and_then(|mut size| {
                size.full()?;
                Some((u32::try_from(size.number(4)?).ok()?, u32::try_from(size.number(4)?).ok()?))
            });
            Some(Item { data: places.read(id)?, size })
        };
        if !is_picture(&id) || !properties.are_known(id) {
            return None;
        }
        let alpha = references
            .iter()
            .filter(|(kind, _, to)| *kind == b"auxl" && to.contains(&id))
            .map(|(_, from, _)| *from)
            .find(|from| is_picture(from) && properties.of(*from, b"auxC").is_some_and(is_alpha));
        let premultiplied = references.iter().any(|(kind, from, to)| {
            *kind == b"prem" && *from == id && to.iter().any(|to| Some(*to) == alpha)
        });
        let small =
            |kind| properties.of(id, kind).and_then(|mut body| body.number(1)).unwrap_or_default() as u8;
        Some(Self {
            colour: item(id)?,
            alpha: match alpha {
                Some(alpha) => Some(item(alpha)?),
                None => None,
            },
            premultiplied,
            turns: small(b"irot") & 3,
            mirror: properties.of(id, b"imir").map(|_| small(b"imir") & 1),
        })
    }
}

fn is_alpha(mut kind: Bytes<'_>) -> bool {
    let names: [&[u8]; 2] =
        [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0"];
    kind.full().is_some() && names.iter().any(|name| kind.0.starts_with(name))
}

/// What each item is.
fn kinds(mut body: Bytes<'_>) -> Option<HashMap<u64, &[u8]>> {
    let count = match body.full()? {
        (0, _) => body.index(2)?,
        _ => body.index(4)?,
    };
    let mut kinds = HashMap::new();
    for _ in 0..count.min(MANY) {
        let (_, mut entry) = body.next_box()?;
        let id = match entry.full()? {
            (2, _) => entry.number(2)?,
            (3, _) => entry.number(4)?,
            _ => return None,
        };
        entry.take(2)?;
        kinds.insert(id, entry.take(4)?);
    }
    Some(kinds)
}

/// Kind, from, to.
type Reference<'a> = (&'a [u8], u64, Vec<u64>);

fn references(mut body: Bytes<'_>) -> Option<Vec<Reference<'_>>> {
    let width = if body.full()?.0 == 0 { 2 } else { 4 };
    let mut references = Vec::new();
    while let (true, Some((kind, mut entry))) = (references.len() < MANY, body.next_box()) {
        let from = entry.number(width)?;
        let count = entry.index(2)?.min(MANY);
        let to = (0..count).map(|_| entry.number(width)).collect::<Option<_>>()?;
        references.push((kind, from, to));
    }
    Some(references)
}

/// Where the bytes of items are.
struct Places<'a> {
    file: &'a [u8],
    inner: Option<&'a [u8]>,
    at: HashMap<u64, Place>,
}

/// Where the bytes of one item are.
struct Place {
    /// Whether within the inner data.
    is_inner: bool,
    /// Offsets and lengths.
    pieces: Vec<(usize, usize)>,
}

impl Places<'_> {
    fn read(&self, id: u64) -> Option<Vec<u8>> {
        let Place { is_inner, pieces } = self.at.get(&id)?;
        let from = if *is_inner { self.inner? } else { self.file };
        let mut data = Vec::new();
        for (offset, length) in pieces {
            let piece = from.get(*offset..)?;
            // A length of 0 is all the rest.
            data.extend_from_slice(if *length == 0 { piece } else { piece.get(..*length)? });
            // The pieces of an item may lie over each other, but it is not larger than the file.
            if data.len() > self.file.len() {
                return None;
            }
        }
        Some(data)
    }
}

fn places(mut body: Bytes<'_>) -> Option<HashMap<u64, Place>> {
    let (version, _) = body.full()?;
    let widths = body.index(2)?;
    let [of_offset, of_length, of_base, of_index] = [12, 8, 4, 0].map(|shift| widths >> shift & 15);
    let of_id = if version < 2 { 2 } else { 4 };
    if version > 2 || [of_offset, of_length, of_base, of_index].iter().any(|width| *width > 8) {
        return None;
    }
    let count = body.index(of_id)?;
    let mut places = HashMap::new();
    for _ in 0..count.min(MANY) {
        let id = body.number(of_id)?;
        let way = if version == 0 { 0 } else { body.number(2)? & 15 };
        // 0: in the file; 1: in the inner data. In another file it is not here.
        let elsewhere = body.number(2)? != 0;
        let base = body.index(of_base)?;
        let pieces = (0..body.index(2)?.min(MANY)).map(|_| {
            body.number(if version == 0 { 0 } else { of_index })?;
            Some((base.checked_add(body.index(of_offset)?)?, body.index(of_length)?))
        });
        let pieces = pieces.collect::<Option<Vec<_>>>()?;
        if way < 2 && !elsewhere {
            places.insert(id, Place { is_inner: way == 1, pieces });
        }
    }
    Some(places)
}

/// What is said of items.
struct Properties<'a> {
    all: Vec<Property<'a>>,
    /// Of each item: the places in `all`, and whether nobody may show it without understanding this.
    of_items: HashMap<u64, Vec<(usize, bool)>>,
}

impl<'a> Properties<'a> {
    fn parse(body: Bytes<'a>) -> Option<Self> {
        let mut container = body.find(b"ipco")?;
        let mut all = Vec::new();
        while let (true, Some((kind, body))) = (all.len() < MANY, container.next_box()) {
            all.push((kind, body.0));
        }
        let mut links = body.find(b"ipma")?;
        let (version, flags) = links.full()?;
        let mut of_items = HashMap::new();
        for _ in 0..links.index(4)?.min(MANY) {
            let id = links.number(if version == 0 { 2 } else { 4 })?;
            let count = links.index(1)?;
            let one = |_| {
                let wide = flags & 1 == 1;
                let link = links.index(if wide { 2 } else { 1 })?;
                let essential = if wide { 0x8000 } else { 0x80 };
                Some((link & (essential - 1), link & essential != 0))
            };
            of_items.insert(id, (0..count).map(one).collect::<Option<Vec<_>>>()?);
        }
        Some(Self { all, of_items })
    }

    /// Those of an item; places count from 1.
    fn list(&self, id: u64) -> impl Iterator<Item = (Property<'a>, bool)> {
        let links = self.of_items.get(&id).into_iter().flatten();
        links.filter_map(|(place, essential)| Some((*self.all.get(place.checked_sub(1)?)?, *essential)))
    }

    fn of(&self, id: u64, kind: &[u8; 4]) -> Option<Bytes<'a>> {
        self.list(id).find(|((found, _), _)| *found == kind).map(|((_, body), _)| Bytes(body))
    }

    /// Whether nothing changes the picture in a way that is not known here.
    fn are_known(&self, id: u64) -> bool {
        let known: [&[u8]; 4] = [b"av1C", b"ispe", b"irot", b"imir"];
        self.list(id).all(|((kind, _), essential)| !essential || known.contains(&kind))
    }
}
