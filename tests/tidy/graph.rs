//! Which file uses which: every path in `use` and in code, resolved to the file that defines what it names.
//!
//! A name that a module only passes on (`pub use child::Name`) is resolved to where it is defined, so a file that is nothing but a list of contents
//! takes part in no circle. Items under `#[cfg(test)]` do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// Modules from the crate's root: `crate::feed::json` is `["feed", "json"]`. `main.rs` is a crate of its own and stands here as `["main"]`.
type Module = Vec<String>;

/// Passing on of a passed-on name, deeper than which nothing is followed.
const MAX_PASSED_ON: usize = 8;

/// A file uses another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The path as it was resolved.
    pub(crate) what: String,
}

pub(crate) struct Graph {
    /// Module → its file.
    files: BTreeMap<Module, String>,
    pub(crate) uses: BTreeSet<Use>,
}

/// A path as it stands in a file.
struct Path {
    segments: Vec<String>,
    /// Module of the file in which it stands, inline modules included.
    module: Module,
    /// The name that a `use` gives it here.
    alias: Option<String>,
}

impl Graph {
    pub(crate) fn new(sources: &[Source]) -> Self {
        let mut files: BTreeMap<Module, String> = sources.iter().map(|source| (module_of(&source.path), source.path.clone())).collect();
        let declared: BTreeSet<Module> = sources.iter().flat_map(declared_in).collect();
        // A module that only tests declare is a test.
        files.retain(|module, _| module.len() <= 1 || declared.contains(module));
        let mut graph = Self { files, uses: BTreeSet::new() };
        let paths: BTreeMap<Module, Vec<Path>> = sources
            .iter()
            .map(|source| (module_of(&source.path), graph.paths_in(source)))
            .filter(|(module, _)| graph.files.contains_key(module))
            .collect();
        let mut imports: BTreeMap<(Module, String), Vec<String>> = BTreeMap::new();
        for path in paths.values().flatten() {
            if let (Some(alias), Some(absolute)) = (&path.alias, graph.absolute(path, &BTreeMap::new())) {
                imports.insert((path.module.clone(), alias.clone()), absolute);
            }
        }
        let mut uses = BTreeSet::new();
        for (module, paths) in &paths {
            for path in paths {
                let Some(absolute) = graph.absolute(path, &imports) else { continue };
                let Some(to) = graph.defining(&absolute, &imports, 0) else { continue };
                let from = &graph.files[module];
                if *from != to {
                    uses.insert(Use { from: from.clone(), to, what: absolute.join("::") });
                }
            }
        }
        graph.uses = uses;
        graph
    }

    /// Files that use each other, over however many others, group by group.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for one in &self.uses {
            next.entry(&one.from).or_default().insert(&one.to);
        }
        let reached = |start: &str| {
            let mut seen = BTreeSet::new();
            let mut open = vec![start];
            while let Some(file) = open.pop() {
                for to in next.get(file).into_iter().flatten() {
                    if seen.insert(*to) {
                        open.push(to);
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached(file))).collect();
        let mut groups = BTreeSet::new();
        for (file, seen) in &reach {
            if seen.contains(file) {
                let group: Vec<String> = seen
                    .iter()
                    .filter(|other| reach.get(**other).is_some_and(|back| back.contains(file)))
                    .map(|other| (*other).to_owned())
                    .collect();
                groups.insert(group);
            }
        }
        groups.into_iter().collect()
    }

    /// Every path in `use` declarations and in code that may name something of this crate.
    fn paths_in(&self, source: &Source) -> Vec<Path> {
        let tokens = tokens(&source.code);
        let home = module_of(&source.path);
        let mut paths = Vec::new();
        let (mut depth, mut inline): (usize, Vec<(String, usize)>) = (0, Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            let module: Module = home.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone())).collect();
            match tokens[at] {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inline.last().is_some_and(|(_, opened)| *opened == depth) {
                        inline.pop();
                    }
                }
                "mod" if tokens.get(at + 2) == Some(&"{") => {
                    inline.push((tokens[at + 1].to_owned(), depth));
                    at += 1;
                }
                "use" if at == 0 || matches!(tokens[at - 1], ";" | "{" | "}" | "]" | ")" | "pub") => {
                    let end = at + tokens[at..].iter().position(|token| *token == ";").unwrap_or(tokens.len() - at);
                    leaves(&tokens[at + 1..end], &module, &mut paths);
                    at = end;
                }
                name if is_name(name) && tokens.get(at + 1) == Some(&"::") && (at == 0 || !matches!(tokens[at - 1], "::" | "$")) => {
                    let mut segments = vec![name.to_owned()];
                    while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|token| is_name(token)) {
                        at += 2;
                        segments.push(tokens[at].to_owned());
                    }
                    paths.push(Path { segments, module, alias: None });
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }

    /// The path from the crate's root. Nothing where it names another crate or a local item.
    fn absolute(&self, path: &Path, imports: &BTreeMap<(Module, String), Vec<String>>) -> Option<Vec<String>> {
        let mut base = path.module.clone();
        let mut rest = path.segments.as_slice();
        let (first, behind) = rest.split_first()?;
        match first.as_str() {
            "crate" => {
                base = Vec::new();
                rest = behind;
            }
            "self" => rest = behind,
            "super" => {
                while let Some((first, behind)) = rest.split_first()
                    && first == "super"
                {
                    base.pop();
                    rest = behind;
                }
            }
            // The library, as `main.rs` names it.
            "coltape" if base == ["main"] => {
                base = Vec::new();
                rest = behind;
            }
            name => {
                let child: Module = base.iter().cloned().chain([name.to_owned()]).collect();
                if !self.files.contains_key(&child) {
                    base = imports.get(&(base, name.to_owned()))?.clone();
                    rest = behind;
                    // An item's own associated names say nothing new.
                    if !self.files.contains_key(&base) {
                        return None;
                    }
                }
            }
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    /// The file that defines what an absolute path names. Nothing for a module as such.
    fn defining(&self, absolute: &[String], imports: &BTreeMap<(Module, String), Vec<String>>, passed_on: usize) -> Option<String> {
        let length = (0..=absolute.len()).rev().find(|length| self.files.contains_key(&absolute[..*length]))?;
        let (module, rest) = absolute.split_at(length);
        let (name, behind) = rest.split_first()?;
        if passed_on < MAX_PASSED_ON
            && let Some(target) = imports.get(&(module.to_vec(), name.clone()))
        {
            let full: Vec<String> = target.iter().chain(behind).cloned().collect();
            return self.defining(&full, imports, passed_on + 1);
        }
        Some(self.files[module].clone())
    }
}

fn module_of(path: &str) -> Module {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    if inside == "lib" { Vec::new() } else { inside.split('/').map(str::to_owned).collect() }
}

/// Modules that a file declares outside of tests.
fn declared_in(source: &Source) -> Vec<Module> {
    let home = module_of(&source.path);
    let tokens = tokens(&source.code);
    let declared = tokens.windows(3).filter(|window| window[0] == "mod" && window[2] == ";");
    declared.map(|window| home.iter().cloned().chain([window[1].to_owned()]).collect()).collect()
}

/// The paths of a `use` tree, each with the name it gets.
fn leaves(tokens: &[&str], module: &Module, paths: &mut Vec<Path>) {
    branch(tokens, &mut 0, &[], module, paths);
}

fn branch(tokens: &[&str], at: &mut usize, before: &[String], module: &Module, paths: &mut Vec<Path>) {
    let mut segments = before.to_vec();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match *token {
            "::" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|token| *token != "}") {
                    branch(tokens, at, &segments, module, paths);
                    if tokens.get(*at) == Some(&",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "as" => {
                let alias = tokens.get(*at).map(|token| (*token).to_owned());
                *at += 1;
                paths.push(Path { segments, module: module.clone(), alias });
                return;
            }
            "," | "}" => {
                *at -= 1;
                break;
            }
            // `a::{self}` is `a`.
            "self" if !segments.is_empty() => {}
            name => segments.push(name.to_owned()),
        }
    }
    if segments.len() > before.len() || (!before.is_empty() && segments == before) {
        let alias = segments.last().cloned();
        paths.push(Path { segments, module: module.clone(), alias });
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        found.push(token);
        rest = behind.trim_start();
    }
    found
}

#[cfg(test)]
fn graph_of(files: &[(&str, &str)]) -> Graph {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    Graph::new(&sources)
}

#[test]
fn paths_are_resolved_to_files() {
    let files = [
        ("src/lib.rs", "pub mod a;\nmod b;\npub use a::inner::Deep;\n"),
        (
            "src/a.rs",
            "mod inner;\npub(crate) use inner::{Deep, other as Renamed};\npub fn own() { inner::call(); }\n#[cfg(test)]\nmod fixture;\n",
        ),
        (
            "src/a/inner.rs",
            "use std::fmt;\npub struct Deep;\n#[cfg(test)]\nmod tests {\n    use super::super::own;\n    use crate::b::b;\n}\n",
        ),
        ("src/a/fixture.rs", "use crate::b::b;\n"),
        (
            "src/b.rs",
            "use crate::{a::{self, Deep}, Deep as Again};\nfn b() { a::Renamed(); let x = \"crate::a::own\"; }\nmod nested { use super::super::a::own; }\n",
        ),
        ("src/main.rs", "fn main() { coltape::b::b() }\n"),
    ];
    let graph = graph_of(&files);
    let uses: BTreeSet<(&str, &str)> = graph.uses.iter().map(|one| (one.from.as_str(), one.to.as_str())).collect();
    let want = [
        ("src/lib.rs", "src/a/inner.rs"),
        ("src/a.rs", "src/a/inner.rs"),
        ("src/b.rs", "src/a/inner.rs"),
        ("src/b.rs", "src/a.rs"),
        ("src/main.rs", "src/b.rs"),
    ];
    assert_eq!(uses, want.into_iter().collect());
    assert!(graph.circles().is_empty());
}
