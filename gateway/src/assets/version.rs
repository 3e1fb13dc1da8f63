//! Names that change with the bytes: `/shared/api.js` is also `/shared/api.0123456789ab.js`, and whatever refers to it in
//! a page, a script or a style sheet says so. A file's own version is made after those of what it refers to, so that
//! a change deep down changes the names of all that lead there.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

/// Hex digits of a version.
const DIGITS: usize = 12;

/// A file whose references carry versions.
#[derive(Debug, Clone)]
pub(super) struct Linked {
    pub(super) bytes: Vec<u8>,
    pub(super) version: String,
}

/// Puts versions into the references of all files, given by their paths.
pub(super) fn link(raw: BTreeMap<String, Vec<u8>>) -> HashMap<String, Linked> {
    let mut links = Links { raw: &raw, done: HashMap::new() };
    for path in raw.keys() {
        links.link(path, &mut Vec::new());
    }
    links.done
}

struct Links<'r> {
    raw: &'r BTreeMap<String, Vec<u8>>,
    done: HashMap<String, Linked>,
}

impl<'r> Links<'r> {
    /// `above` are the files that are being linked now, and lead here.
    fn link(&mut self, path: &'r str, above: &mut Vec<&'r str>) {
        if self.done.contains_key(path) {
            return;
        }
        above.push(path);
        let raw = &self.raw[path];
        let refers = [".html", ".js", ".css"].iter().any(|kind| path.ends_with(kind));
        let bytes = match std::str::from_utf8(raw).ok().filter(|_| refers) {
            Some(text) => self.rewrite(path, text, above).into_bytes(),
            None => raw.clone(),
        };
        above.pop();
        let digest = hex::encode(Sha256::digest(&bytes));
        let version = digest[..DIGITS].to_owned();
        self.done.insert(path.to_owned(), Linked { bytes, version });
    }

    /// The text with a version in every quoted path that is a file's. Pages are asked for by people, and files that refer
    /// to each other in a circle cannot all name each other's versions: those references stay as they are.
    fn rewrite(&mut self, path: &str, text: &str, above: &mut Vec<&'r str>) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(['"', '\'']) {
            let (before, quoted) = rest.split_at(at);
            out.push_str(before);
            let (quote, inner) = quoted.split_at(1);
            out.push_str(quote);
            rest = inner;
            let Some(end) = inner.find(quote) else { continue };
            let named = self.raw.get_key_value(&resolve(path, &inner[..end])).map(|(file, _)| file.as_str());
            let named = named.filter(|file| !file.ends_with(".html") && !above.contains(file));
            if let Some(file) = named {
                self.link(file, above);
                out.push_str(&with(&inner[..end], &self.done[file].version));
                rest = &inner[end..];
            }
        }
        out + rest
    }
}

/// The path that a reference in the file at `path` means; what is no path means nothing.
fn resolve(path: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    if !reference.starts_with('.') {
        return String::new();
    }
    for segment in reference.split('/') {
        match segment {
            "." => {}
            ".." => drop(folders.pop()),
            name => folders.push(name),
        }
    }
    folders.join("/")
}

/// The path with a version before its ending.
pub(super) fn with(path: &str, version: &str) -> String {
    let (stem, ending) = path.rsplit_once('.').unwrap_or((path, ""));
    format!("{stem}.{version}.{ending}")
}

/// The path without a version; `None` where it has none.
pub(super) fn without(path: &str) -> Option<String> {
    let (stem, ending) = path.rsplit_once('.')?;
    let (stem, version) = stem.rsplit_once('.')?;
    let is_version = version.len() == DIGITS && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_version.then(|| format!("{stem}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(files: &[(&str, &str)]) -> HashMap<String, Linked> {
        link(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    fn text<'l>(all: &'l HashMap<String, Linked>, path: &str) -> &'l str {
        std::str::from_utf8(&all[path].bytes).unwrap()
    }

    #[test]
    fn a_change_deep_down_changes_the_names_of_all_that_lead_there() {
        let files = |deep: &'static str| {
            linked(&[
                ("/index.html", r#"<a href="/login.html"></a><script src="/index.js"></script>"#),
                ("/index.js", "import { a } from './shared/a.js'; don't('x'); // \"./none.js\"\n"),
                ("/login.html", "<p>"),
                ("/shared/a.js", "import '../shared/b.js'"),
                ("/shared/b.js", deep),
            ])
        };
        let (before, after) = (files("1"), files("2"));
        let name = |all: &HashMap<String, Linked>, path: &str| with(path, &all[path].version);
        for path in ["/index.js", "/shared/a.js", "/shared/b.js"] {
            let [one, other] = [&before, &after].map(|all| name(all, path));
            assert_ne!(one, other, "{path}");
            assert_eq!(without(&one).as_deref(), Some(path));
        }
        let page = text(&before, "/index.html");
        let script = name(&before, "/index.js");
        assert_eq!(page, format!(r#"<a href="/login.html"></a><script src="{script}"></script>"#));
        let a = name(&before, "/shared/a.js");
        assert_eq!(
            text(&before, "/index.js"),
            format!("import {{ a }} from '.{a}'; don't('x'); // \"./none.js\"\n")
        );
        let b = name(&before, "/shared/b.js");
        assert_eq!(text(&before, "/shared/a.js"), format!("import '..{b}'"));
    }

    #[test]
    fn a_circle_is_left_open() {
        let all = linked(&[("/a.js", "import './b.js'"), ("/b.js", "import './a.js'")]);
        let b = with("/b.js", &all["/b.js"].version);
        assert_eq!(text(&all, "/a.js"), format!("import '.{b}'"));
        assert_eq!(text(&all, "/b.js"), "import './a.js'");
    }

    #[test]
    fn only_a_version_is_taken_for_one() {
        for path in ["/a.js", "/a", "/a.min.js", "/a.0123456789abc.js", "/a.0123456789ag.js"] {
            assert_eq!(without(path), None, "{path}");
        }
    }
}
