//! [`Mount`]: the file system that a path lies on, as `/proc/self/mountinfo` shows it (proc(5)).

use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Its kind: `ext4`, `xfs`.
    pub(super) kind: String,
    /// Its options, those of the mount and those of the file system.
    pub(super) options: Vec<String>,
}

impl Mount {
    /// Finds the file system that a path lies on. The path has no links in it.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Self::find(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, path)
    }

    /// Tells whether one of the options is set.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }

    /// Finds the mount with the longest point on the way to a path; of several at one point the last one, which covers the others.
    fn find(text: &str, path: &Path) -> Option<Self> {
        let mounts = text.lines().filter_map(Self::read).filter(|mount| path.starts_with(&mount.point));
        mounts.max_by_key(|mount| mount.point.components().count())
    }

    /// Reads a line: `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/x rw,errors=continue`.
    fn read(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(4);
        let (point, options) = (fields.next()?, fields.next()?);
        let mut rest = after.split(' ');
        let (kind, own) = (rest.next()?, rest.nth(1).unwrap_or_default());
        let options = options.split(',').chain(own.split(',')).filter(|option| !option.is_empty()).map(str::to_owned).collect();
        Some(Self { point: unescaped(point).into(), kind: kind.to_owned(), options })
    }
}

/// Reads a name in which a blank, a tab, a line feed and a backslash are three octal digits behind a backslash.
fn unescaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut parts = name.split('\\');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                         22 21 0:20 / /mnt/md rw,noatime - tmpfs none rw,size=4k\n\
                         23 21 7:0 / /mnt/md rw,strictatime - ext4 /dev/loop0 rw,nobarrier\n\
                         24 21 7:1 / /mnt/a\\040b\\134 ro - xfs /dev/loop1 rw,attr2\n\
                         25 21 7:1 / /mnt/mdx ro - xfs /dev/loop1 rw\n\
                         nonsense\n 1 2 3 -\n";

    #[test]
    fn a_path_lies_on_the_innermost_mount_and_the_last_one_there() {
        let of = |path: &str| Mount::find(TABLE, Path::new(path)).expect("a mount");
        assert_eq!(of("/home/data").kind, "ext4");
        let inner = of("/mnt/md/data");
        assert_eq!((inner.kind.as_str(), inner.point.as_path()), ("ext4", Path::new("/mnt/md")));
        assert!(inner.has("strictatime") && inner.has("nobarrier") && !inner.has("barrier") && !inner.has("noatime"));
        assert_eq!(of("/mnt/a b\\/data").kind, "xfs");
        assert_eq!(Mount::find("", Path::new("/")), None);
        assert!(Mount::of(Path::new("/proc/self")).is_some_and(|mount| mount.kind == "proc"));
    }

    #[test]
    fn names_are_read_as_the_kernel_writes_them() {
        for (name, read) in [("/a", "/a"), (r"\040", " "), (r"a\", r"a\"), (r"a\09", r"a\09"), (r"\134040", r"\040")] {
            assert_eq!(unescaped(name), read, "{name}");
        }
    }
}
