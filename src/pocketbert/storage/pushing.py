"""Sending what was saved to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from pocketbert.errors import HubError
from pocketbert.storage.access_token import checked_token, first_line

__all__ = ["Pushable"]


class Pushable:
    """What has ``save_pretrained`` can also be sent to the hub; a repository that is not there is made."""

    save_pretrained: ClassVar[Callable[..., Any]]

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        tags: list[str] | None = None,
        use_temp_dir: bool | None = None,
        **save_options: Any,
    ) -> Any:
        """Save into a temporary folder and upload it as one commit, through ``huggingface_hub``.

        Args:
            repo_id: ``"owner/name"``, or a name of your own account.
            commit_message: by default what is uploaded.
            commit_description: the longer text of the commit.
            private: of a repository that is made now.
            token: access token; by default the one that is stored or in ``HF_TOKEN``.
            revision: branch to commit to.
            create_pr: open a pull request instead.
            tags: go into the head of a README.md, if the repository gets its first.
            use_temp_dir: accepted; it is always one.
            **save_options: arguments of ``save_pretrained``, such as ``max_shard_size``.

        Returns:
            the hub's ``CommitInfo``.

        Raises:
            HubError: the hub refuses or cannot be reached.
        """
        from huggingface_hub import HfApi

        token = checked_token(token)
        api = HfApi(token=token)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, **save_options)
            try:
                repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
                tags = [*(tags or ()), *(getattr(self, "model_tags", None) or ())]
                if tags and not api.file_exists(repo, "README.md"):
                    lines = ["---", "tags:", *(f"- {tag}" for tag in tags), "---", ""]
                    (Path(folder) / "README.md").write_text("\n".join(lines), "utf-8")
                return api.upload_folder(
                    repo_id=repo,
                    folder_path=folder,
                    commit_message=commit_message or f"Upload {type(self).__name__}",
                    commit_description=commit_description,
                    revision=revision,
                    create_pr=create_pr,
                )
            except Exception as error:  # what a lost connection raises is the business of the hub library's client
                raise HubError(f"cannot upload to {repo_id}: {first_line(error, token)}") from None

    def _push(self, push: dict[str, Any] | None, **save_options: Any) -> None:
        """Do what ``save_pretrained(push_to_hub=True)`` asked for."""
        if push is not None:
            self.push_to_hub(push.pop("repo_id"), **push, **save_options)
