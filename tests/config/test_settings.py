"""The configuration: all mistakes at once, a sample that is true, a reload that says what it cannot do."""

from __future__ import annotations

from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.iso import COUNTRIES
from config.settings import ConfigError, Settings, diff, load, parse, sample


def problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return {p.key: f"{p.value} {p.message} {p.remedy}" for p in caught.value.problems}


def test_all_mistakes_come_in_one_report_each_with_key_value_and_remedy() -> None:
    found = problems("""
        [company]
        country = "UK"
        nmae = "Example"
        [sip]
        domain = "not a domain"
        tls_listen = ["0.0.0.0:5061", "5061"]
        [calls]
        max_concurrent = "20"
        ring_timeout_s = 1
        [log]
        level = "loud"
        [media]
        rtp_port_first = 20001
    """)
    assert set(found) == {
        "company.country", "company.nmae", "sip.domain", "sip.tls_listen", "calls.max_concurrent",
        "calls.ring_timeout_s", "log.level", "media.rtp_port_first",
    }  # fmt: skip
    assert '"UK"' in found["company.country"] and "write GB" in found["company.country"]
    assert "did you mean 'name'" in found["company.nmae"]
    assert "without quotes" in found["calls.max_concurrent"]
    assert "at least 5" in found["calls.ring_timeout_s"]
    assert "debug" in found["log.level"] and "error" in found["log.level"]
    assert "20002" in found["media.rtp_port_first"]


def test_an_unknown_section_is_told_with_what_was_meant() -> None:
    assert "did you mean 'recording'" in problems("[recordings]\nbitrate_bps = 48000\n")["recordings"]


def test_one_wrong_entry_of_a_list_is_one_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[company]\nlanguages = ["de"]\n')
    assert [(p.key, p.value) for p in caught.value.problems] == [("company.languages", '"de"')]


def test_broken_toml_names_the_line() -> None:
    found = problems('[sip]\ndomain = "a.example"\nworker_port = = 3\n')
    assert list(found) == ["line 3"] and "worker_port" in found["line 3"]


def test_broken_toml_never_shows_a_password() -> None:
    assert "hunter2" not in str(problems("[sip]\npassword = hunter2\n"))


@pytest.mark.parametrize("key", ["password", "db_password", "api_key", "apikey", "pin", "secret", "auth_token"])
@pytest.mark.promise("0.1")
def test_a_key_that_would_hold_a_secret_is_refused_and_its_value_not_repeated(key: str) -> None:
    found = problems(f'[storage]\n{key} = "hunter2"\n')
    assert "keys/" in found[f"storage.{key}"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@h/d", "postgresql://u@h/d?password=hunter2"])
def test_a_password_in_the_database_url_is_refused(url: str) -> None:
    found = problems(f'[storage]\nurl = "{url}"\n')
    assert "database.password" in found["storage.url"] and "hunter2" not in str(found)


def test_a_url_without_password_is_fine() -> None:
    assert parse('[storage]\nurl = "postgresql://beffroi@/beffroi"\n').storage.url


@pytest.mark.promise("P2")
def test_plain_sip_is_off_unless_an_address_is_named() -> None:
    assert parse("").sip.tls_listen and not parse("").sip.udp_listen and not parse("").sip.tcp_listen
    media = '[media]\naddress = "192.0.2.1"\n'
    for key in ("udp_listen", "tcp_listen"):
        assert f"sip.{key}" in problems(f'{media}[sip]\n{key} = ["0.0.0.0:5060"]\n')
        assert f"sip.{key}" in problems(f'{media}[sip]\n{key} = ["[::]:5060"]\n')
        assert parse(f'{media}[sip]\n{key} = ["192.0.2.1:5060"]\n')
    assert parse(f'{media}[sip]\ntls_listen = ["0.0.0.0:5061"]\n')


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[http]\nlisten = "127.0.0.1:5061"\n', "http.listen"),
        ('[sip]\nudp_listen = ["127.0.0.1:5070"]\n', "sip.worker_port"),
        ('[sip]\nudp_listen = ["127.0.0.1:20100"]\n', "sip.udp_listen"),
        ("[sip]\ncontrol_port = 9464\n", "http.listen"),
        ('[sip]\ntcp_listen = ["127.0.0.1:5061"]\n', "sip.tcp_listen"),
        ("[sip]\nworker_port = 20500\n", "sip.worker_port"),
        ('[web]\nlisten = "127.0.0.1:9464"\n', "web.listen"),
    ],
)
def test_two_listeners_on_one_port_are_found(text: str, key: str) -> None:
    assert key in problems(text)


def test_udp_and_tls_may_share_a_port_number() -> None:
    assert parse('[sip]\nudp_listen = ["127.0.0.1:5061"]\n')


def test_too_few_audio_ports_for_the_calls() -> None:
    found = problems("[media]\nrtp_port_last = 20222\n[calls]\nmax_concurrent = 13\n")
    assert "13 calls and 1 kept for emergencies need 224" in found["media.rtp_port_last"]
    assert parse("[media]\nrtp_port_last = 20223\n[calls]\nmax_concurrent = 13\n")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[sip]\ntls_listen = []\n", "sip.tls_listen"),
        ("[sip]\nregistration_min_s = 700\n", "sip.registration_min_s"),
        ("[calls]\nmax_concurrent = 2\n", "calls.max_per_account"),
        ('[company]\nlanguages = ["fr", "fr"]\n', "company.languages"),
        ('[company]\nlanguages = ["de"]\n', "company.languages"),
        ('[http]\nlisten = "0.0.0.0:9464"\n', "http.listen"),
        ('[media]\naddress = "0.0.0.0"\n', "media.address"),
        ('[secrets]\nsource = "pkcs11"\n', "secrets.pkcs11_module"),
        ('[company]\nrights_url = "example.org"\n', "company.rights_url"),
        ('[sip]\ntls_listen = ["2001:db8::1:5061"]\n', "sip.tls_listen"),
        ('[media]\naddress6 = "192.0.2.1"\n', "media.address6"),
        ('[media]\naddress = "2001:db8::1"\naddress6 = "2001:db8::2"\n', "media.address6"),
        ('[media]\npublic_address = "here"\n', "media.public_address"),
        ('[media]\npublic_address = "2001:db8::1"\n', "media.public_address"),
        ('[media]\npublic_address = "198.51.100.1"\nlocal_networks = []\n', "media.local_networks"),
        ('[media]\nlocal_networks = ["192.168.0.1/16"]\n', "media.local_networks"),
        ('[numbering]\narea_code = "1 2"\n', "numbering.area_code"),
        ('[numbering]\ncountry = "UK"\n', "numbering.country"),
        ('[numbering]\noutside_prefix = "1"\n', "numbering.outside_prefix"),
        ('[emergency]\ntrunks = ["a b"]\n', "emergency.trunks"),
        ('[emergency.location]\ndefault = "https://example.org"\n', "emergency.location.default"),
        ('[emergency.location]\ndefault = "<https://a>\\r\\nVia: x"\n', "emergency.location.default"),
        ("[limits]\nalert_at_percent = 101\n", "limits.alert_at_percent"),
        ('[web]\nhost = "192.0.2.1"\n', "web.host"),
        ('[web]\nhost = "https://phone.example.org"\n', "web.host"),
        ('[web]\nlisten = "8443"\n', "web.listen"),
        ('[web]\ncertificate = "/etc/portal.pem"\n', "web.certificate"),
        ('[web]\nbehind_proxy = ["192.0.2.1/24"]\n', "web.behind_proxy"),
    ],
)  # fmt: skip
def test_mistakes_between_and_within_keys(text: str, key: str) -> None:
    assert key in problems(text)


def test_the_sample_is_true() -> None:
    text = sample()
    assert parse(text) == parse("")
    for name, field in Settings.model_fields.items():
        assert f"[{name}]" in text
        section = field.annotation
        for key, described in section.model_fields.items():  # type: ignore[union-attr]
            tables = (name, key) in {
                ("sms", "carriers"),
                ("web", "webhooks"),
            }  # each is a table of its own, below its key's name
            assert (f"\n# [{name}.{key}.NAME]\n" if tables else f"\n{key} = ") in text
            assert described.description, f"{name}.{key} says nothing"
            assert described.description.split(".")[0][:30] in text


def test_the_sample_takes_overrides_and_checks_them() -> None:
    chosen = {"domain": "Sip.Example.org", "udp_listen": ["127.0.0.1:5060"]}
    settings = parse(sample(sip=chosen, company={"name": 'Chez "Zoé" \\ fils'}))
    assert settings.sip.domain == "sip.example.org"
    assert settings.company.name == 'Chez "Zoé" \\ fils'
    for wrong in ({"sip": {"domian": "x"}}, {"spi": {"domain": "x"}}, {"sip": {"worker_port": 80}}):
        with pytest.raises(ConfigError):
            sample(**wrong)


def test_the_sample_takes_a_table() -> None:
    chosen = {"location": {"default": "<https://example.org/site.xml>", "zoé.b": "<cid:a@b>;inserted-by=c"}}
    assert parse(sample(emergency=chosen)).emergency.location == chosen["location"]
    with pytest.raises(ConfigError):
        sample(emergency={"location": {"default": "Rue de la Paix"}})


@pytest.mark.promise("P13")
def test_calls_abroad_and_at_a_raised_tariff_are_closed_unless_opened() -> None:
    limits = parse("").limits
    assert (limits.international, limits.premium) == (False, False)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_any_name_survives_the_sample(name: str) -> None:
    assert parse(sample(company={"name": name})).company.name == name


def test_diff_tells_what_waits_for_a_restart() -> None:
    new = parse('[sip]\nworker_port = 5080\n[calls]\nring_timeout_s = 30\n[log]\nlevel = "debug"\n')
    changes = {c.key: c for c in diff(parse(""), new)}
    assert set(changes) == {"sip.worker_port", "calls.ring_timeout_s", "log.level"}
    assert changes["sip.worker_port"].restart and (changes["sip.worker_port"].old, changes["sip.worker_port"].new) == (
        5070,
        5080,
    )
    assert not changes["calls.ring_timeout_s"].restart and not changes["log.level"].restart
    assert diff(new, new) == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse("").sip.worker_port = 1


def test_a_missing_or_unreadable_file_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "beffroi.toml")
    (tmp_path / "beffroi.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "beffroi.toml")
    (tmp_path / "beffroi.toml").write_text(sample())
    assert load(tmp_path / "beffroi.toml") == parse("")


@pytest.mark.parametrize("domain", ["example.org", "a", "192.0.2.1", "[2001:db8::1]", "xn--bffroi-bva.example"])
def test_domains(domain: str) -> None:
    assert parse(f'[sip]\ndomain = "{domain}"\n').sip.domain == domain


@pytest.mark.parametrize("domain", ["", "-a.example", "a..b", "2001:db8::1", "a b", "x" * 64 + ".org", "1.2.3", "é.fr"])
def test_not_domains(domain: str) -> None:
    assert "sip.domain" in problems(f'[sip]\ndomain = "{domain}"\n')


def test_the_countries_of_numbers_are_known() -> None:
    # AC and TA are ITU regions without an ISO code of their own.
    assert set(phonenumbers.SUPPORTED_REGIONS) - {"AC", "TA"} <= COUNTRIES


def test_a_carrier_can_be_written_behind_the_sample() -> None:
    text = sample() + '\n[sms.carriers.main]\nkind = "smpp"\nhost = "smsc.example.org"\nsystem_id = "us"\n'
    assert parse(text).sms.carriers["main"].host == "smsc.example.org"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("", "https://localhost:8443"),
        ('listen = "0.0.0.0:443"\nhost = "Phone.Example.org"', "https://phone.example.org"),
        ('host = "phone.example.org"\nport = 443', "https://phone.example.org"),
    ],
)
def test_the_address_of_the_portal_is_what_people_type(text: str, origin: str) -> None:
    assert parse(f"[web]\n{text}\n").web.origin == origin
