"""Settings: who wins, what is refused, and where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from sir_convert_a_lot.settings import Settings, SettingsError, load_settings


def test_flags_win_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "sir.toml"
    file.write_text("port = 1\nmax_pages = 2\nworkers = 3\n")
    loaded = load_settings(file, {"port": 4}, {"SIR_CONVERT_A_LOT_PORT": "5", "SIR_CONVERT_A_LOT_MAX_PAGES": "6"})
    assert (loaded.settings.port, loaded.settings.max_pages, loaded.settings.workers) == (4, 6, 3)
    assert loaded.origins["port"] == "flag"
    assert loaded.origins["max_pages"] == "env SIR_CONVERT_A_LOT_MAX_PAGES"
    assert loaded.origins["workers"] == "file"
    assert loaded.origins["host"] == "default"


def test_the_contracts_name_of_the_storage_root_wins_over_its_alias() -> None:
    both = {"CONVERTER_STORAGE_ROOT": "/first", "SIR_CONVERT_A_LOT_DATA_DIR": "/second"}
    assert load_settings(environ=both).settings.storage_root == Path("/first")
    assert load_settings(environ={"SIR_CONVERT_A_LOT_DATA_DIR": "/second"}).settings.storage_root == Path("/second")


def test_the_folder_of_the_models_goes_by_doclings_own_name_first() -> None:
    ours = {"SIR_CONVERT_A_LOT_DOCLING_ARTIFACTS_PATH": "/ours"}
    assert load_settings(environ={}).settings.docling_artifacts_path is None
    assert load_settings(environ=ours).settings.docling_artifacts_path == Path("/ours")
    both = ours | {"DOCLING_ARTIFACTS_PATH": "~/theirs"}
    assert load_settings(environ=both).settings.docling_artifacts_path == Path("~/theirs").expanduser()


@pytest.mark.parametrize("value", ["layout_analysis", "all", ""])
def test_only_ocr_may_be_allowed_on_the_cpu_for_a_gpu_job(value: str) -> None:
    assert load_settings(environ={}).settings.allow_cpu_stages == "none"
    with pytest.raises(SettingsError, match="allow_cpu_stages"):
        load_settings(environ={"SIR_CONVERT_A_LOT_ALLOW_CPU_STAGES": value})


def test_a_misspelt_key_in_the_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "sir.toml"
    file.write_text("max_page = 2\n")
    with pytest.raises(SettingsError, match=r"max_page.*did you mean max_pages"):
        load_settings(file, environ={})


def test_a_misspelt_variable_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="did you mean SIR_CONVERT_A_LOT_PROMISED_DEVICE"):
        load_settings(environ={"SIR_CONVERT_A_LOT_PROMISED_DEVISE": "gpu"})


@pytest.mark.parametrize("value", ["70000", "-1", "http"])
def test_a_value_that_is_not_allowed_is_refused_with_its_origin(value: str) -> None:
    with pytest.raises(SettingsError, match="env SIR_CONVERT_A_LOT_PORT"):
        load_settings(environ={"SIR_CONVERT_A_LOT_PORT": value})


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_key_is_an_error_and_not_an_open_door(value: str) -> None:
    with pytest.raises(SettingsError, match="api_key is empty"):
        load_settings(environ={"SIR_CONVERT_A_LOT_API_KEY": value})


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("storage_root", "CONVERTER_STORAGE_ROOT"),
        ("storage_root", "SIR_CONVERT_A_LOT_DATA_DIR"),
        ("docling_artifacts_path", "DOCLING_ARTIFACTS_PATH"),
    ],
)
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_folder_is_refused_and_not_the_current_one(name: str, variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} .env {variable}. is empty"):
        load_settings(environ={variable: value})


@pytest.mark.parametrize("text", ["0000:65:00.0", "00000000:65:00.0", "65:00.0", " 0000:65:00.0 "])
def test_the_address_of_a_gpu_is_taken_as_tools_print_it_and_kept_as_the_kernel_writes_it(text: str) -> None:
    assert load_settings(environ={"SIR_CONVERT_A_LOT_GPU_PCI_ID": text}).settings.gpu_pci_id == "0000:65:00.0"
    upper = load_settings(environ={"SIR_CONVERT_A_LOT_GPU_PCI_ID": "0000:C1:00.0"}).settings
    assert upper.gpu_pci_id == "0000:c1:00.0"


@pytest.mark.parametrize("text", ["", "0", "cuda:0", "65:00", "0000:65:00.9", "GPU-5c6cd2c6"])
def test_what_is_no_address_of_a_gpu_is_refused_and_not_the_first_one(text: str) -> None:
    with pytest.raises(SettingsError, match="gpu_pci_id"):
        load_settings(environ={"SIR_CONVERT_A_LOT_GPU_PCI_ID": text})


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e308", "3601"])
def test_a_look_at_the_gpu_cannot_be_kept_for_no_time_or_for_ever(seconds: str) -> None:
    with pytest.raises(SettingsError, match="probe_ttl_s"):
        load_settings(environ={"SIR_CONVERT_A_LOT_PROBE_TTL_S": seconds})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read settings"):
        load_settings(tmp_path / "absent.toml", environ={})


def test_the_key_does_not_show_in_the_settings_text() -> None:
    settings = load_settings(environ={"SIR_CONVERT_A_LOT_API_KEY": "hunter2"}).settings
    assert "hunter2" not in repr(settings)


def test_no_setting_can_claim_a_gpu() -> None:
    assert not [name for name in Settings.model_fields if "available" in name]
    for claim in ("GPU_AVAILABLE", "IS_AVAILABLE", "FORCE_GPU"):
        with pytest.raises(SettingsError):
            load_settings(environ={f"SIR_CONVERT_A_LOT_{claim}": "true"})
