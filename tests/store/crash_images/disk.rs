//! A model of a disk that loses power: what a folder may look like afterwards.
//!
//! Since the last flush every 512-byte sector of every file may be in any of its versions, so may a file's length, and each name may point
//! where it pointed at any of those moments. A rename moves both of its names at once. One sector may be torn in the middle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const SECTOR: usize = 512;

/// Files by name, as they are written out.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A folder at one moment: names → inodes → bytes.
#[derive(Clone, Default)]
pub(crate) struct Shot {
    names: BTreeMap<PathBuf, u64>,
    files: HashMap<u64, Rc<Vec<u8>>>,
}

impl Shot {
    /// Looks at a folder and all below it, but for what is not part of the tape. What has not changed since `last` shares its bytes.
    pub(crate) fn of(root: &Path, last: Option<&Self>) -> Self {
        let mut shot = Self::default();
        shot.walk(root, root, last);
        shot
    }

    fn walk(&mut self, root: &Path, folder: &Path, last: Option<&Self>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with(coltape::internals::store::OWN_FOLDER) {
                    self.walk(root, &path, last);
                }
                continue;
            }
            let inode = entry.metadata().unwrap().ino();
            let bytes = std::fs::read(&path).unwrap();
            let before = last.and_then(|last| last.files.get(&inode)).filter(|before| ***before == bytes);
            self.files.insert(inode, before.map_or_else(|| Rc::new(bytes), Rc::clone));
            self.names.insert(path.strip_prefix(root).unwrap().to_owned(), inode);
        }
    }

    /// Takes over one file from another moment: it has been flushed by itself.
    pub(crate) fn take_over(&mut self, other: &Self, name: &Path) {
        if let Some(inode) = other.names.get(name) {
            self.names.insert(name.to_owned(), *inode);
            self.files.insert(*inode, Rc::clone(&other.files[inode]));
        }
    }

    /// Finds a name that begins so.
    pub(crate) fn name_of(&self, prefix: &str) -> Option<PathBuf> {
        self.names.keys().find(|name| name.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))).cloned()
    }
}

/// How a crash treats what was not flushed.
#[derive(Clone, Copy)]
enum Manner {
    /// Every sector for itself.
    Scattered,
    /// Every file for itself, whole.
    Files,
    /// Everything oldest, but for one file.
    OneNew,
    /// Everything newest, but for one file.
    OneOld,
}

/// Makes up an image from what was on disk at the last flush (`versions[0]`) and the moments since.
pub(crate) fn image(versions: &[Shot], rng: &mut fastrand::Rng) -> Image {
    let newest = versions.len() - 1;
    let manner = [Manner::Scattered, Manner::Scattered, Manner::Files, Manner::OneNew, Manner::OneOld][rng.usize(..5)];
    let groups: BTreeSet<PathBuf> = versions.iter().flat_map(|shot| shot.names.keys()).map(|name| group(name)).collect();
    let groups: Vec<PathBuf> = groups.into_iter().collect();
    let odd = if groups.is_empty() { PathBuf::new() } else { groups[rng.usize(..groups.len())].clone() };
    let torn = groups.iter().find(|_| rng.usize(..groups.len()) == 0).cloned();
    let mut image = Image::new();
    for group in groups {
        let whole = match manner {
            Manner::Scattered => None,
            Manner::Files => Some(rng.usize(..=newest)),
            Manner::OneNew => Some(if group == odd { newest } else { 0 }),
            Manner::OneOld => Some(if group == odd { 0 } else { newest }),
        };
        let named = &versions[whole.unwrap_or_else(|| rng.usize(..=newest))].names;
        for name in [group.clone(), temporary(&group)] {
            if let Some(inode) = named.get(&name) {
                let history: Vec<Option<&Vec<u8>>> = versions.iter().map(|shot| shot.files.get(inode).map(Rc::as_ref)).collect();
                let history = filled(history);
                let tear = torn.as_ref() == Some(&group) && rng.bool();
                image.insert(name, content(&history, whole, tear, rng));
            }
        }
    }
    image
}

/// The names that one rename connects.
fn group(name: &Path) -> PathBuf {
    if name.extension().is_some_and(|extension| extension == "tmp") { name.with_extension("") } else { name.to_owned() }
}

fn temporary(name: &Path) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

static EMPTY: Vec<u8> = Vec::new();

/// A file's bytes at every moment: empty before it was made, the last ones after it was removed.
fn filled<'a>(history: Vec<Option<&'a Vec<u8>>>) -> Vec<&'a Vec<u8>> {
    let mut last: &'a Vec<u8> = &EMPTY;
    history
        .into_iter()
        .map(|bytes| {
            last = bytes.unwrap_or(last);
            last
        })
        .collect()
}

fn content(history: &[&Vec<u8>], whole: Option<usize>, tear: bool, rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut pick = || whole.unwrap_or_else(|| rng.usize(..history.len()));
    let mut bytes = vec![0; history[pick()].len()];
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        copy_sector(history[pick()], number, sector);
    }
    let sectors: Vec<usize> = (0..bytes.len() / SECTOR).filter(|sector| changes(history, *sector)).collect();
    if tear && !sectors.is_empty() {
        let sector = sectors[rng.usize(..sectors.len())];
        let (mut front, mut back) = ([0; SECTOR], [0; SECTOR]);
        copy_sector(history[rng.usize(..history.len())], sector, &mut front);
        copy_sector(history[rng.usize(..history.len())], sector, &mut back);
        let cut = rng.usize(..=SECTOR / 8) * 8;
        front[cut..].copy_from_slice(&back[cut..]);
        bytes[sector * SECTOR..][..SECTOR].copy_from_slice(&front);
    }
    bytes
}

fn changes(history: &[&Vec<u8>], sector: usize) -> bool {
    let range = sector * SECTOR..(sector + 1) * SECTOR;
    history.iter().any(|bytes| bytes.get(range.clone()) != history[0].get(range.clone()))
}

fn copy_sector(from: &[u8], number: usize, to: &mut [u8]) {
    for (at, byte) in to.iter_mut().enumerate() {
        *byte = from.get(number * SECTOR + at).copied().unwrap_or(0);
    }
}

/// Writes an image into an empty folder.
pub(crate) fn write(image: &Image, root: &Path) {
    for (name, bytes) in image {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Finds a commit page whose state says that its hot sector is zero while it is not.
pub(crate) fn says_zero_and_is_not(image: &Image) -> Option<&Path> {
    let is_page = |name: &Path| name.file_name().is_some_and(|name| name.to_string_lossy().starts_with("commit."));
    let pages = image.iter().filter(|(name, bytes)| is_page(name) && bytes.len() == 8 * SECTOR);
    let lies = |page: &[u8]| {
        let state = [4, 5].map(|at| &page[at * SECTOR..(at + 1) * SECTOR]).into_iter().find(|sector| {
            let (body, crc) = sector.split_last_chunk::<4>().unwrap();
            crc32c::crc32c(body).to_le_bytes() == *crc
        });
        state.is_some_and(|state| state[504] == 1) && page[SECTOR..2 * SECTOR].iter().any(|byte| *byte != 0)
    };
    pages.into_iter().find(|(_, page)| lies(page)).map(|(name, _)| name.as_path())
}
