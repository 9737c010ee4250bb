//! `install.sh` and `uninstall.sh`: what they make, what they take away and what they keep, and which program is installed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::service::{root, run, script, text, tree};

fn is_here(program: &str) -> bool {
    let found = Command::new("bash").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        let _ = writeln!(std::io::stderr(), "skipped: {program} is not here");
    }
    found
}

/// A folder that is the root of a small system, with users.
fn small_system() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    for (name, text) in [
        ("passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("group", "root:x:0:\n"),
        ("shadow", "root:*:19000:0:99999:7:::\n"),
        ("gshadow", "root:*::\n"),
        ("login.defs", "SYS_UID_MIN 101\nSYS_UID_MAX 999\nSYS_GID_MIN 101\nSYS_GID_MAX 999\n"),
    ] {
        fs::write(etc.join(name), text).unwrap();
    }
    folder
}

#[test]
fn install_and_uninstall_leave_a_system_as_it_was() {
    let system = small_system();
    let before = tree(system.path());
    let install =
        |args: &[&str]| run(script("install.sh").args(["--binary", env!("CARGO_BIN_EXE_coltape"), "--root"]).arg(system.path()).args(args));
    let uninstall = |args: &[&str]| run(script("uninstall.sh").arg("--root").arg(system.path()).args(args));
    let said = text(&install(&["--data-dir", "/mnt/md/data"]).stdout);
    assert!(said.contains("coltape doctor") && said.contains("/mnt/md/data"), "{said}");
    let installed = tree(system.path());
    let own = |path: &str| system.path().join(path);
    for path in ["usr/local/bin/coltape", "usr/local/share/man/man1/coltape-doctor.1", "etc/coltape/products", "mnt/md/data"] {
        assert!(installed.contains_key(&own(path)), "{path}: {:?}", installed.keys());
    }
    let makes_users = rustix::process::geteuid().is_root();
    let has_user = || fs::read_to_string(own("etc/passwd")).unwrap().contains("coltape:x:");
    assert_eq!(has_user(), makes_users);
    check_shell_files(&own("usr/local/share"));
    check_units(system.path());
    // Again, and with another program, as an upgrade does: nothing else changes.
    install(&["--data-dir", "/mnt/md/data"]);
    assert_eq!(tree(system.path()).keys().collect::<Vec<_>>(), installed.keys().collect::<Vec<_>>());
    fs::write(own("usr/local/bin/coltape"), "another version").unwrap();
    let said = text(&install(&[]).stdout);
    assert_eq!(fs::read_to_string(own("usr/local/lib/coltape/coltape.previous")).unwrap(), "another version");
    assert!(said.contains("coltape status /mnt/md/data") && !said.contains("/var/lib/coltape"), "where the unit records: {said}");
    let drop_in = own("etc/systemd/system/coltape.service.d/override.conf");
    for line in
        ["RUST_LOG=warn COLTAPE_DATA_DIR=/elsewhere", "'COLTAPE_DATA_DIR=/elsewhere' A=b", "\"A=b c\" \"COLTAPE_DATA_DIR=/elsewhere\""]
    {
        fs::write(&drop_in, format!("[Service]\nEnvironment={line}\n#Environment=COLTAPE_DATA_DIR=/nowhere\n")).unwrap();
        let said = text(&install(&[]).stdout);
        assert!(said.contains("coltape status /elsewhere\n"), "{line}: {said}");
    }
    fs::remove_file(drop_in).unwrap();
    uninstall(&[]);
    assert_eq!(tree(system.path()), before);
    assert!(text(&uninstall(&[]).stdout).contains("not installed"));
}

#[test]
fn what_uninstall_keeps_it_takes_away_later() {
    let system = small_system();
    let before = tree(system.path());
    let own = |path: &str| system.path().join(path);
    let install = |args: &[&str]| {
        run(script("install.sh").args(["--binary", env!("CARGO_BIN_EXE_coltape"), "--root"]).arg(system.path()).args(args));
    };
    let uninstall = |args: &[&str]| text(&run(script("uninstall.sh").arg("--root").arg(system.path()).args(args)).stdout);
    let makes_users = rustix::process::geteuid().is_root();
    let has_user = || fs::read_to_string(own("etc/passwd")).unwrap().contains("coltape:x:");
    // What somebody has written stays.
    install(&["--data-dir", "/mnt/md/data"]);
    fs::write(own("etc/coltape/products"), "ETH-USD\n").unwrap();
    fs::write(own("mnt/md/data/a"), "data").unwrap();
    let said = uninstall(&[]);
    assert!(said.contains("kept: /etc/coltape/products") && !own("usr/local/bin").exists(), "{said}");
    assert_eq!(said.contains("kept: the user coltape"), makes_users, "{said}");
    assert_eq!(uninstall(&[]), said, "it can be run again");
    assert_eq!(has_user(), makes_users);
    // An install in between goes on with it.
    install(&[]);
    assert_eq!(fs::read_to_string(own("etc/coltape/products")).unwrap(), "ETH-USD\n");
    assert!(uninstall(&[]).contains("kept: /etc/coltape/products"));
    let said = uninstall(&["--purge"]);
    assert!(!said.contains("/etc/coltape") && !own("etc/coltape").exists(), "{said}");
    assert_eq!(has_user(), makes_users, "its data is still there: {said}");
    assert_eq!(fs::read_to_string(own("mnt/md/data/a")).unwrap(), "data");
    // The user goes when its data has gone.
    fs::remove_file(own("mnt/md/data/a")).unwrap();
    uninstall(&[]);
    assert_eq!(tree(system.path()), before);
    assert!(uninstall(&[]).contains("not installed"));
    // Settings that were not there before, but that somebody has removed since, are made anew, and known as they are then.
    install(&[]);
    fs::write(own("etc/coltape/products"), "ETH-USD\n").unwrap();
    uninstall(&[]);
    fs::remove_file(own("etc/coltape/products")).unwrap();
    let list = own("usr/local/lib/coltape/installed");
    let of_an_older_version =
        fs::read_to_string(&list).unwrap().replace("settings /etc/coltape/products ", "settings /etc/coltape/products 0");
    fs::write(&list, of_an_older_version).unwrap();
    install(&[]);
    let said = uninstall(&[]);
    assert!(!said.contains("kept"), "{said}");
    assert_eq!(tree(system.path()), before);
}

/// A cargo whose program says that it is built from `$COMMIT`.
const CARGO: &str = r#"#!/bin/sh
set -e
mkdir -p target/release
cat >target/release/coltape <<END
#!/bin/sh
if [ "\$1" = --version ]; then printf '%s\n' 'coltape 0.1.0 ($COMMIT)'; else exec $REAL "\$@"; fi
END
chmod +x target/release/coltape
"#;

/// A checkout with the scripts alone, that cargo, and a system to install on.
struct Checkout {
    folder: tempfile::TempDir,
    system: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let (folder, system) = (tempfile::tempdir().unwrap(), small_system());
        let (programs, checkout) = (folder.path().join("programs"), folder.path().join("checkout"));
        for path in [&programs, &checkout] {
            fs::create_dir(path).unwrap();
        }
        // Every program of the path, so that one of them can be taken out.
        for path in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                let _ = symlink(entry.path(), programs.join(entry.file_name()));
            }
        }
        let _ = fs::remove_file(programs.join("cargo"));
        fs::write(programs.join("cargo"), CARGO).unwrap();
        run(Command::new("chmod").arg("+x").arg(programs.join("cargo")));
        run(Command::new("cp").arg("-r").arg(root().join("scripts")).arg(&checkout));
        let found = Self { folder, system };
        found.git(&["init", "-q"]);
        found
    }

    fn checkout(&self) -> PathBuf {
        self.folder.path().join("checkout")
    }

    fn git(&self, args: &[&str]) -> String {
        let git = ["-c", "user.name=a", "-c", "user.email=a@b"];
        text(&run(Command::new("git").args(git).arg("-C").arg(self.checkout()).args(args)).stdout).trim_end().to_owned()
    }

    /// Changes what the program is made of. Gives the commit.
    fn commit(&self, source: &str) -> String {
        fs::create_dir_all(self.checkout().join("src")).unwrap();
        fs::write(self.checkout().join("src/lib.rs"), source).unwrap();
        self.git(&["add", "src", "scripts"]);
        self.git(&["commit", "-q", "-m", source]);
        self.git(&["rev-parse", "--short", "HEAD"])
    }

    /// Installs it. What cargo would build is of this commit.
    fn install(&self, commit: &str, args: &[&str]) -> Output {
        let mut install = Command::new("bash");
        install.arg(self.checkout().join("scripts/install.sh")).arg("--root").arg(self.system.path()).args(args);
        install.env("PATH", self.folder.path().join("programs")).env("HOME", self.folder.path()).env_remove("CARGO_TARGET_DIR");
        install.env("COMMIT", commit).env("REAL", env!("CARGO_BIN_EXE_coltape")).output().unwrap()
    }

    fn installed(&self) -> String {
        text(&run(Command::new(self.system.path().join("usr/local/bin/coltape")).arg("--version")).stdout)
    }
}

/// What is said of the program's commit.
fn note(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stderr).lines().filter(|line| line.contains("checkout")).collect::<Vec<_>>().join("\n")
}

#[test]
fn install_builds_the_checkout_as_it_is_and_tells_when_a_program_is_of_another_commit() {
    let checkout = Checkout::new();
    let first = checkout.commit("first");
    let output = checkout.install(&first, &[]);
    assert_eq!(note(&output), "");
    assert!(text(&output.stdout).contains(&format!("coltape 0.1.0 ({first}) is installed")), "{output:?}");
    let older = checkout.folder.path().join("older");
    fs::copy(checkout.checkout().join("target/release/coltape"), &older).unwrap();
    // As after `git pull`: a program lies there, and is not the one.
    let second = checkout.commit("second");
    assert_eq!(note(&checkout.install(&second, &[])), "");
    assert_eq!(checkout.installed(), format!("coltape 0.1.0 ({second})\n"));
    let older = ["--binary", older.to_str().unwrap()];
    let expected = format!("note: the program is built from {first}, and this checkout is at {second}");
    assert_eq!(note(&checkout.install(&second, &older)), expected);
    assert_eq!(checkout.installed(), format!("coltape 0.1.0 ({first})\n"), "it is what was asked for");
    // What is not committed counts, too, where the program is made of it. The length of a short name does not.
    fs::write(checkout.checkout().join("src/lib.rs"), "changed").unwrap();
    let expected = format!("note: the program is built from {second}, and this checkout is at {second}-changed");
    assert_eq!(note(&checkout.install(&second, &[])), expected);
    assert_eq!(note(&checkout.install(&format!("{}-changed", &second[..5]), &[])), "");
    let expected = format!("note: the program does not say which commit it is built from; this checkout is at {second}-changed");
    assert_eq!(note(&checkout.install("unknown", &[])), expected);
    // Without git nothing is compared.
    fs::remove_file(checkout.folder.path().join("programs/git")).unwrap();
    assert_eq!(note(&checkout.install(&first, &[])), "");
}

#[test]
fn install_without_cargo_says_what_to_do_and_installs_nothing() {
    let checkout = Checkout::new();
    let first = checkout.commit("first");
    checkout.install(&first, &[]);
    let before = tree(checkout.system.path());
    fs::remove_file(checkout.folder.path().join("programs/cargo")).unwrap();
    let output = checkout.install("second", &[]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.lines().count() == 1, "{output:?}");
    assert!(said.contains("cargo") && said.contains("--binary target/release/coltape"), "{said}");
    assert_eq!(tree(checkout.system.path()), before);
    let built = ["--binary", "target/release/coltape"];
    assert_eq!(note(&checkout.install("second", &built)), "");
    // Where rustup puts it.
    let own = checkout.folder.path().join(".cargo/bin");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("cargo"), "#!/bin/sh\nprintf \"$*\\n\" >said\n").unwrap();
    run(Command::new("chmod").arg("+x").arg(own.join("cargo")));
    assert_eq!(note(&checkout.install("second", &[])), "");
    assert_eq!(fs::read_to_string(checkout.checkout().join("said")).unwrap(), "build --locked --release\n");
}

/// Checks that completions complete, and that man pages are read without a warning.
fn check_shell_files(share: &Path) {
    let bash = share.join("bash-completion/completions/coltape");
    let line = "source \"$0\"; COMP_WORDS=(coltape capt); COMP_CWORD=1; _coltape coltape capt coltape; printf '%s\\n' \"${COMPREPLY[@]}\"";
    assert_eq!(text(&run(Command::new("bash").args(["-c", line]).arg(&bash)).stdout), "capture\n");
    for (shell, path) in [("zsh", "zsh/site-functions/_coltape"), ("fish", "fish/vendor_completions.d/coltape.fish")] {
        assert!(fs::read_to_string(share.join(path)).unwrap().contains("doctor"), "{path}");
        if is_here(shell) {
            run(Command::new(shell).arg("-n").arg(share.join(path)));
        }
    }
    // That they are read without an error does not show that they complete.
    if is_here("fish") {
        let line = "source $argv[1]; complete -C 'coltape capt'; complete -C 'coltape simulate --feed a'";
        let output = run(Command::new("fish").args(["--no-config", "-c", line]).arg(share.join("fish/vendor_completions.d/coltape.fish")));
        let words: Vec<String> = text(&output.stdout).lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
        assert_eq!(words, ["capture", "advanced"], "{output:?}");
    }
    if is_here("zsh") {
        let line = "fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; autoload +X _coltape && print -r -- \"$_comps[coltape] ${+functions[_coltape]}\"";
        let output = run(Command::new("zsh").args(["-f", "-c", line, "zsh"]).arg(share.join("zsh/site-functions")));
        assert_eq!(text(&output.stdout), "_coltape 1\n", "{output:?}");
    }
    if is_here("groff") {
        for entry in fs::read_dir(share.join("man/man1")).unwrap() {
            let path = entry.unwrap().path();
            let output = run(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-Wbreak"]).arg(&path));
            assert_eq!(text(&output.stderr), "", "{}", path.display());
        }
    }
}

/// Has systemd judge the units.
fn check_units(system: &Path) {
    let units = system.join("usr/local/lib/systemd/system");
    if !is_here("systemd-analyze") {
        return;
    }
    let service = units.join("coltape.service");
    run(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=25", "--no-pager"]).arg(&service));
    // The programs that the units name are those of the small system.
    let copies = tempfile::tempdir().unwrap();
    for name in ["coltape.service", "coltape-failed.service"] {
        let unit = fs::read_to_string(units.join(name)).unwrap();
        let there = unit.replace("/usr/local/", &format!("{}/usr/local/", system.display()));
        assert_ne!(there, unit);
        fs::write(copies.path().join(name), there).unwrap();
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no"]).args(["coltape.service", "coltape-failed.service"].map(|name| copies.path().join(name)));
    let output = run(analyze.env("SYSTEMD_UNIT_PATH", format!("{}:", copies.path().display())));
    assert_eq!(text(&output.stderr), "", "a unit that is accepted with a warning does not do what it says");
}
