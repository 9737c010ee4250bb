//! [`without_folder`]: messages for clients do not name the server's folder.

use std::path::Path;

/// Leaves the folder out of the paths of a message. It is an absolute path, so that no other words of the message are met.
#[must_use]
pub(super) fn without_folder(dir: &Path, text: &str) -> String {
    text.replace(&format!("{}/", dir.display()), "").replace(&dir.display().to_string(), "the data directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_from_the_folder_on() {
        let hidden = |text: &str| without_folder(Path::new("/mnt/md/data"), text);
        assert_eq!(hidden("/mnt/md/data/BTC-USD/TRADES: gone. See data/x"), "BTC-USD/TRADES: gone. See data/x");
        assert_eq!(hidden("/mnt/md/data does not exist"), "the data directory does not exist");
    }
}
