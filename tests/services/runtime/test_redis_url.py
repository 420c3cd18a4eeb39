"""Redis URLs: every form is read, a wrong one is told why, and a password never shows."""

from __future__ import annotations

import pytest

from services.runtime.redis_url import Address, Cluster, Login, OneServer, RedisPlace, Sentinels, Tls, parse_redis_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://", OneServer(Address("localhost", 6379))),
        ("redis://cache/", OneServer(Address("cache", 6379))),
        ("redis://cache:1/3", OneServer(Address("cache", 1), 3)),
        ("redis://[::1]:7/0", OneServer(Address("::1", 7))),
        ("redis://:p%40ss@h", OneServer(Address("h", 6379), 0, Login(None, "p@ss"))),
        ("redis://me:p@h", OneServer(Address("h", 6379), 0, Login("me", "p"))),
        ("rediss://h", OneServer(Address("h", 6379), tls=Tls())),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
            OneServer(Address("h", 6379), tls=Tls("/ca.pem", verify=False)),
        ),
        ("unix:///run/redis.sock?db=2", OneServer("/run/redis.sock", 2)),
        ("unix://:p@/run/redis.sock", OneServer("/run/redis.sock", 0, Login(None, "p"))),
        (
            "redis+sentinel://me:p@a,b:7,[::1]/mymaster/1?sentinel_password=q",
            Sentinels(
                (Address("a", 26379), Address("b", 7), Address("::1", 26379)),
                "mymaster",
                1,
                Login("me", "p"),
                Login(None, "q"),
            ),
        ),
        ("rediss+cluster://a:1,b:2", Cluster((Address("a", 1), Address("b", 2)), tls=Tls())),
    ],
)
def test_every_form_is_read(url: str, place: RedisPlace) -> None:
    assert parse_redis_url(url) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://:hunter2@h", "must begin with redis://"),
        ("redis+ring://:hunter2@h", "must begin with redis://"),
        ("redis://:hunter2@h:port", "host or port"),
        ("redis://:hunter2@h:0", "host or port"),
        ("redis://:hunter2@h:65536", "host or port"),
        ("redis://:hunter2@[h/0", "host or port"),
        ("redis://:hunter2@a..b", "no name that could be looked up"),
        (f"redis+cluster://:hunter2@h,{'a' * 64}.shop", "no name that could be looked up"),
        ("redis://:hun/ter2@h", "host or port"),
        ("redis://:hunter2@h/first", "number of a database"),
        ("redis://:hunter2@h/1/2", "number of a database"),
        ("redis://:hunter2@a,b", "several hosts"),
        ("redis+cluster://:hunter2@a/1", "must not name a database"),
        ("redis+sentinel://:hunter2@a", "must name the primary"),
        ("redis+sentinel://:hunter2@a/m/x", "number of a database"),
        ("redis://:hunter2@h?tiemout=1", "tiemout"),
        ("redis://h?ssl_ca_certs=/ca.pem", "does not begin with rediss"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("redis://:hunter2#@h", "%23"),
        ("unix://", "path of a socket"),
    ],
)
def test_a_wrong_one_is_told_why_without_a_password(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_redis_url(url)
    assert "hunter2" not in str(caught.value)
    assert "hun" not in str(caught.value).replace("hunter", "")


def test_a_place_shows_addresses_only() -> None:
    for url, shown in (
        ("redis://me:hunter2@h/1", "h:6379"),
        ("redis://[::1]:7", "[::1]:7"),
        ("unix:///run/r.sock", "/run/r.sock"),
        ("redis+sentinel://:hunter2@a,b/m", "m by a:26379,b:26379"),
        ("redis+cluster://:hunter2@a,b:1", "a:6379,b:1"),
    ):
        place = parse_redis_url(url)
        assert str(place) == shown
        assert "hunter2" not in repr(place)
