"""Which addresses are the internet's, however they are written."""

import pytest

from sidecar.downloads.address_guard import AddressGuard, is_private, leads_inside
from sidecar.downloads.messages import DownloadFailed

PUBLIC = """
    1.1.1.1  8.8.8.8  93.184.215.14  172.15.255.255  172.32.0.1  192.0.1.1  192.1.0.1
    100.63.255.255  100.128.0.0  169.253.0.1  198.17.255.255  198.20.0.1  223.255.255.255
    2606:4700:4700::1111  2001:4860:4860::8888  2a00:1450:4001::1  2400:cb00::1
    ::ffff:8.8.8.8
""".split()

PRIVATE = """
    0.0.0.0  0.1.2.3  10.0.0.0  10.255.255.255  100.64.0.0  100.127.255.255
    127.0.0.1  127.255.255.254  169.254.0.1  169.254.169.254  172.16.0.1  172.31.255.255
    192.0.0.0  192.0.0.1  192.0.0.8  192.0.0.9  192.0.0.10  192.0.0.170  192.0.0.171  192.0.0.255
    192.0.2.1  192.88.99.1  192.168.0.1  198.18.0.1  198.19.255.255  198.51.100.1  203.0.113.1
    224.0.0.1  233.252.0.1  239.255.255.255  240.0.0.1  255.255.255.255
    ::  ::1  ::2  ::7f00:1  ::127.0.0.1  ::10.0.0.1  ::8.8.8.8  ::a9fe:a9fe
    ::ffff:127.0.0.1  ::ffff:10.0.0.1  ::ffff:a9fe:a9fe  ::ffff:192.0.0.9  ::ffff:100.64.0.1
    ::ffff:0:127.0.0.1  64:ff9b::  64:ff9b::7f00:1  64:ff9b::127.0.0.1  64:ff9b::8.8.8.8
    64:ff9b:1::1  64:ff9b:1:fffe::10.0.0.1  100::1  100:0:0:1::1
    2001::1  2001:0:4136:e378:8000:63bf:3fff:fdd2  2001:1::1  2001:2::1  2001:3::1  2001:4:112::1
    2001:10::1  2001:20::1  2001:30::1  2001:db8::1
    2002::1  2002:7f00:1::1  2002:a00:1::  2002:808:808::1  2002:c0a8:101::1
    3fff::1  4000::1  5f00::1  a000::1  fc00::1  fd00:ec2::254  fe80::1  fe80::1%eth0  fe80::1%1
    febf::1  fec0::1  ff00::1  ff02::1  ff0e::1  2606:4700:4700::1111%eth0
    localhost  LOCALHOST  localhost.  a.localhost  a.b.localhost.  127.0.0.1.
""".split()

# What getaddrinfo, or another program, reads as an address all the same.
OTHER_FORMS = """
    0177.0.0.1  0177.0.0.01  00.0.0.0  127.1  127.0.1  2130706433  017700000001  0x7f000001  0x7f.1
    0x7F.0x0.0x0.0x1  0xa9fea9fe  2852039166  0  0x  010.0.0.1  8.8.8.08  1.2.3.4.5  256.1.1.1
    1.2.3  127.0.0.1.  example.123  example.0x7f  1.1.1.0x1  -example.com  exa$mple.com  a..b
    .example.com  %31%32%37.0.0.1  127%2e0.0.1  [::1  ::1]  [::1]x  [127.0.0.1]  [::1%25]  [v1.a]
    [1:2:3]  [::ffff:0177.0.0.1]  １２７.0.0.1  127。0。0。1  ⓛocalhost  bücher.example
""".split()
MALFORMED = [
    "",
    "exam ple.com",
    "exa\\mple.com",
    "a\tb.example",
    "a\nb.example",
    "x" * 64,
    ".".join(["x" * 60] * 5),
]

BAD_URLS = [
    "https://example.com:nonsense/a.zip",
    "https://example.com:-1/a.zip",
    "https://example.com:65536/a.zip",
    "https://example.com:0/a.zip",
    "https://example.com:８０/a.zip",
    "https://example.com:80:80/a.zip",
    "http://example.com/a.zip",
    "ftp://example.com/a.zip",
    "file:///etc/a.zip",
    "data:,a.zip",
    "https:example.com/a.zip",
    "https:/a.zip",
    "https:///a.zip",
    "//example.com/a.zip",
    "example.com/a.zip",
    "a.zip",
    "https://",
    "https://example.com/é.zip",
    "https://example.com/a b.zip",
    "https://example.com/a\x00.zip",
    "https://e.com/\x7f.zip",
    "https://example.com\\@10.0.0.1/a.zip",
    "https://example.com/" + "a" * 2048,
    "https://public.example@127.0.0.1/a.zip",
    "https://[::1/a.zip",
    "https://[/a.zip",
]


def in_url(host: str) -> str:
    return f"https://[{host.replace('%', '%25')}]/" if ":" in host else f"https://{host}/"


@pytest.mark.parametrize("host", PUBLIC)
def test_an_address_of_the_internet_may_be_asked(host: str) -> None:
    assert not is_private(host)
    AddressGuard([]).check_written(in_url(host))


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_in_urls_and_connections(host: str) -> None:
    assert is_private(host)
    with pytest.raises(DownloadFailed):
        AddressGuard([]).check_written(in_url(host))


@pytest.mark.parametrize("host", [*OTHER_FORMS, *MALFORMED])
def test_a_host_that_can_be_read_in_two_ways_is_refused(host: str) -> None:
    with pytest.raises(DownloadFailed):
        AddressGuard([]).check_written(f"https://{host}/model.zip")


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(DownloadFailed) as refused:
        AddressGuard([]).check_written(url)
    assert len(str(refused.value)) < 300


def test_every_address_of_a_name_is_checked() -> None:
    assert leads_inside("localhost", 443)
    assert not leads_inside("8.8.8.8", 443)
    with pytest.raises(DownloadFailed, match="cannot be found"):
        leads_inside("a" * 64, 443)


def test_a_named_host_may_be_asked_with_any_address() -> None:
    guard = AddressGuard(["[::1]", "::1", "10.0.0.7:8080"])
    guard.check("http://[::1]/model.zip")
    guard.check("http://10.0.0.7:8080/model.zip")
    with pytest.raises(DownloadFailed):
        guard.check("http://10.0.0.7:8081/model.zip")
