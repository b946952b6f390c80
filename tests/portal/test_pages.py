import pytest
from django.test import Client


@pytest.mark.django_db
def test_the_front_page_is_for_everybody_and_carries_the_policy(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.django_db
def test_a_missing_page_says_so_in_the_readers_language(client: Client) -> None:
    assert client.get("/nowhere/").status_code == 404
    assert '<html lang="zh-Hans"' in client.get("/nowhere/", headers={"accept-language": "zh-CN"}).content.decode()
