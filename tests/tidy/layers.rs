//! Layers: a module uses only those that the table in `src/lib.rs` grants to its layer, and no two files use each other, over however many others.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::source::{Source, files_in};

/// A row of the table of layers.
struct Layer {
    name: String,
    modules: Vec<String>,
    /// Layers whose modules it may use. Its own name stands for the modules left of each.
    uses: Vec<String>,
}

/// The table `| layer | modules | uses | … |` of a crate's front page.
fn layers(front_page: &str) -> Vec<Layer> {
    let rows = front_page.lines().skip_while(|line| !line.starts_with("//! | layer | modules | uses |")).skip(2);
    let names = |cell: &str| -> Vec<String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        cell.split(|c: char| !is_part(c)).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    rows.take_while(|line| line.starts_with("//! |"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            Layer { name: cells[1].to_owned(), modules: names(cells[2]), uses: names(cells[3]) }
        })
        .collect()
}

/// What is wrong with the table itself, and with what the modules use.
fn layer_breaks(sources: &[Source]) -> Vec<String> {
    let front_page = sources.iter().find(|source| source.path == "src/lib.rs").map_or("", |source| &source.text);
    let layers = layers(front_page);
    let mut breaks = Vec::new();
    let mut place: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (row, layer) in layers.iter().enumerate() {
        place.extend(layer.modules.iter().enumerate().map(|(column, module)| (module.as_str(), (row, column))));
        for name in &layer.uses {
            if !layers[..=row].iter().any(|above| above.name == *name) {
                breaks.push(format!("src/lib.rs: the layer {} uses {name}, which stands not above it", layer.name));
            }
        }
    }
    if layers.is_empty() {
        breaks.push("src/lib.rs: no table of layers".to_owned());
    }
    for source in sources {
        let module = top(&source.path);
        if !matches!(module, "lib" | "main" | "internals") && !place.contains_key(module) {
            breaks.push(format!("{}: the module {module} stands in no layer", source.path));
        }
    }
    for one in &Graph::new(sources).uses {
        let (from, to) = (top(&one.from), top(&one.to));
        let is_granted = match (from, place.get(from), place.get(to)) {
            // What tests and benches reach. Only `main` uses it.
            ("lib" | "internals", ..) => true,
            ("main", ..) => matches!(to, "cli" | "internals"),
            (_, Some((row, column)), Some((other_row, other_column))) => {
                from == to || layers[*row].uses.contains(&layers[*other_row].name) && (row != other_row || other_column < column)
            }
            _ => false,
        };
        if !is_granted {
            breaks.push(format!("{}: {from} uses {}", one.from, one.what));
        }
    }
    breaks
}

fn top(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

fn circle_breaks(sources: &[Source]) -> Vec<String> {
    let graph = Graph::new(sources);
    let named = |group: Vec<String>| {
        let inner = graph.uses.iter().filter(|one| group.contains(&one.from) && group.contains(&one.to));
        let uses: Vec<String> = inner.map(|one| format!("\n    {} uses {} ({})", one.from, one.to, one.what)).collect();
        format!("{}: a circle of {} files{}", group[0], group.len(), uses.concat())
    };
    graph.circles().into_iter().map(named).collect()
}

#[test]
fn a_layer_uses_only_the_layers_that_are_granted_to_it() {
    let table = "//! | layer | modules | uses | what |\n//! |---|---|---|---|\n//! | words | `time`, `record` | words | |\n//! | store | `store` | words | |\n//! | feed | `feed` | words | |\n//! | shell | `cli` | words, feed | |\n";
    let breaks = |path: &str, text: &str| {
        let mut sources: Vec<Source> = ["time", "record", "store", "feed", "cli"]
            .iter()
            .map(|name| Source::new(&format!("src/{name}.rs"), "//! x\npub struct X;"))
            .collect();
        sources.push(Source::new("src/lib.rs", table));
        sources.retain(|source| source.path != path);
        sources.push(Source::new(path, text));
        layer_breaks(&sources).len()
    };
    assert_eq!(breaks("src/feed.rs", "use crate::store::X;"), 1);
    assert_eq!(breaks("src/store.rs", "fn f() { crate::feed::X; }"), 1);
    assert_eq!(breaks("src/store/map.rs", ""), 0);
    assert_eq!(breaks("src/record.rs", "use super::time::X;"), 0);
    assert_eq!(breaks("src/time.rs", "use super::record::X;"), 1);
    assert_eq!(breaks("src/feed.rs", "use crate::{record::X, cli::X as Y};"), 1);
    assert_eq!(breaks("src/cli.rs", "use crate::{feed::X, store};"), 0);
    assert_eq!(breaks("src/cli.rs", "use crate::{feed::X, store}; fn f() { store::X; }"), 1);
    assert_eq!(
        breaks("src/feed.rs", "use crate::record::X; // not crate::store::X\n#[cfg(test)]\nmod tests {\n    use crate::store::X;\n}\n"),
        0
    );
    assert_eq!(breaks("src/attic.rs", ""), 1);
    assert_eq!(breaks("src/lib.rs", &table.replace("words, feed", "words, moon")), 1);
    assert_eq!(breaks("src/lib.rs", &table.replace("| `store` | words |", "| `store` | words, feed |")), 1);
    super::report("layers", &layer_breaks(&files_in("src", ".rs")));
}

#[test]
fn no_two_files_use_each_other() {
    let breaks = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circle_breaks(&sources).len()
    };
    let lib = ("src/lib.rs", "mod a; mod b; mod c;");
    assert_eq!(breaks(&[lib, ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use super::a::A;")]), 1);
    assert_eq!(
        breaks(&[lib, ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "fn f() { crate::c::c() }"), ("src/c.rs", "use crate::a::A;")]),
        1
    );
    assert_eq!(breaks(&[lib, ("src/a.rs", "mod child; pub use child::X; pub struct Own;"), ("src/a/child.rs", "use super::Own;")]), 1);
    assert_eq!(
        breaks(&[
            lib,
            ("src/a.rs", "mod child; mod other; pub use child::X;"),
            ("src/a/child.rs", ""),
            ("src/a/other.rs", "use super::X;")
        ]),
        0
    );
    assert_eq!(breaks(&[lib, ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n")]), 0);
    // The real files do use each other: a graph without uses would pass everything.
    assert!(Graph::new(&files_in("src", ".rs")).uses.len() > 200);
    super::report("circles", &circle_breaks(&files_in("src", ".rs")));
}
