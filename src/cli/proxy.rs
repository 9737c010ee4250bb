//! Which proxies the command line and the environment name: `--proxy`, else `HTTPS_PROXY` and `ALL_PROXY`; `NO_PROXY` leaves hosts out of either.
//!
//! As in curl: the form in small letters counts before the one in capitals, an empty variable is none, and `HTTPS_PROXY` is for `wss://` and `https://`
//! only. A variable that is not needed for any of the command's endpoints is not judged.

use super::outcome::Failure;
use crate::feed::endpoint::Endpoint;
use crate::feed::proxy::{NoProxy, Proxies, Proxy};

/// Gives the proxies for some endpoints, as the command line and this process's environment say.
///
/// # Errors
/// [`Failure::Usage`] where the option, or a variable that is needed, is not the address of a proxy. The text names which.
pub(crate) fn proxies(option: Option<&str>, urls: &[&str]) -> Result<Proxies, Failure> {
    choose(option, urls, |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
}

fn choose(option: Option<&str>, urls: &[&str], environment: impl Fn(&str) -> Option<String>) -> Result<Proxies, Failure> {
    let variable = |name: &'static str| {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty()).map(|value| (name.to_owned(), value));
        set(&name.to_ascii_lowercase()).or_else(|| set(name))
    };
    let exceptions = variable("NO_PROXY").map_or_else(NoProxy::default, |(_, list)| NoProxy::parse(&list));
    let refused = |name: &str, why: &dyn std::fmt::Display| Failure::Usage(format!("{name}: {why}"));
    if let Some(option) = option {
        let proxy = Proxy::parse(option).map_err(|error| refused("--proxy", &error))?;
        return Ok(Proxies::all(proxy).except(exceptions));
    }
    let needs = |is_secure: bool| {
        let endpoints = urls.iter().filter_map(|url| Endpoint::parse(url).or_else(|_| Endpoint::parse_http(url)).ok());
        let mut of_scheme = endpoints.filter(|endpoint| endpoint.is_tls() == is_secure);
        of_scheme.any(|endpoint| !exceptions.names(endpoint.host(), endpoint.port()))
    };
    let read = |found: Option<(String, String)>| match found {
        Some((name, value)) => Proxy::parse(&value).map(Some).map_err(|error| refused(&name, &error)),
        None => Ok(None),
    };
    let secure = if needs(true) { read(variable("HTTPS_PROXY").or_else(|| variable("ALL_PROXY")))? } else { None };
    let plain = if needs(false) { read(variable("ALL_PROXY"))? } else { None };
    Ok(Proxies::by_scheme(secure, plain).except(exceptions))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECURE: &str = "wss://feed.example";
    const PLAIN: &str = "http://rest.example:8080";

    fn chosen(option: Option<&str>, variables: &[(&str, &str)], urls: &[&str]) -> Result<[Option<String>; 2], String> {
        let environment = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        match choose(option, urls, environment) {
            Ok(proxies) => Ok([(true, "feed.example", 443), (false, "rest.example", 8080)]
                .map(|(is_secure, host, port)| proxies.for_host(is_secure, host, port).map(ToString::to_string))),
            Err(Failure::Usage(text)) => Err(text),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn both(secure: &str, plain: &str) -> Result<[Option<String>; 2], String> {
        Ok([secure, plain].map(|proxy| (!proxy.is_empty()).then(|| proxy.to_owned())))
    }

    #[test]
    fn the_option_counts_before_the_variables_and_small_letters_before_capitals() {
        let all = [SECURE, PLAIN];
        assert_eq!(chosen(None, &[], &all), both("", ""));
        assert_eq!(chosen(None, &[("HTTPS_PROXY", "a:1")], &all), both("http://a:1", ""));
        assert_eq!(chosen(None, &[("ALL_PROXY", "socks5h://b")], &all), both("socks5h://b:1080", "socks5h://b:1080"));
        assert_eq!(chosen(None, &[("HTTPS_PROXY", "a:1"), ("all_proxy", "b:1")], &all), both("http://a:1", "http://b:1"));
        assert_eq!(chosen(None, &[("HTTPS_PROXY", "a:1"), ("https_proxy", "c:1")], &all), both("http://c:1", ""));
        assert_eq!(chosen(None, &[("https_proxy", " "), ("HTTPS_PROXY", "a:1")], &all), both("http://a:1", ""));
        assert_eq!(chosen(Some("d:1"), &[("HTTPS_PROXY", "a:1")], &all), both("http://d:1", "http://d:1"));
        assert_eq!(chosen(Some("d:1"), &[("no_proxy", "rest.example")], &all), both("http://d:1", ""));
        assert_eq!(chosen(None, &[("ALL_PROXY", "b:1"), ("NO_PROXY", "example:443, other")], &all), both("", "http://b:1"));
        assert_eq!(chosen(None, &[("ALL_PROXY", "b:1"), ("NO_PROXY", ".example")], &all), both("", ""));
    }

    #[test]
    fn what_is_no_proxy_is_named_where_it_is_needed_and_its_password_is_not() {
        let bad = "ftp://me:secret@host";
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            let error = chosen(None, &[(name, bad)], &[SECURE]).expect_err(name);
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
            assert_eq!(chosen(None, &[(name, bad), ("NO_PROXY", "*")], &[SECURE, PLAIN]), both("", ""), "{name}");
            assert_eq!(chosen(Some("d:1"), &[(name, bad)], &[SECURE]), both("http://d:1", "http://d:1"), "{name}");
        }
        assert_eq!(chosen(None, &[("HTTPS_PROXY", bad)], &[PLAIN]), both("", ""));
        assert!(chosen(Some(bad), &[], &[PLAIN]).expect_err("no proxy").contains("--proxy"));
    }
}
