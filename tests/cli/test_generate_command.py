PROMPT = "the cat said the dog is"


def test_the_same_command_writes_the_same_text(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "--steering", saved_steering, "--max-new-tokens", 8)
    sampled = [steersman(*words, "--seed", 3).stdout for _ in range(2)]
    assert sampled[0] == sampled[1] != ""
    greedy = [steersman(*words).stdout for _ in range(2)]
    assert greedy[0] == greedy[1] != ""


def test_a_strong_target_changes_the_text_and_zero_does_not(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "-s", saved_steering, "--max-new-tokens", 8)
    texts = {target: steersman(*words, "--target", target).stdout for target in (0, 30)}
    compared = steersman(*words, "--target", 30, "--compare").stdout
    assert texts[0] != texts[30]
    assert texts[0].strip() in compared
    assert texts[30].strip() in compared


def test_every_form_of_steering_can_be_asked_for(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "-s", saved_steering, "--max-new-tokens", 4)
    for more in (
        ("--execution", "feedback", "--tokens", "all"),
        ("--reference", "absolute", "--target", 0.5),
        ("--lambda", 1.0),
        ("--chat", "--seed", 1),
    ):
        result = steersman(*words, *more)
        assert result.exit_code == 0, result.output


def test_a_cap_holds_a_strong_target_back(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "-s", saved_steering, "--max-new-tokens", 8)
    bare = steersman(*words, "--target", 0).stdout
    assert steersman(*words, "--target", 30, "--cap", 1e-4).stdout == bare
    assert steersman(*words, "--target", 30, "--cap", 30).stdout != bare
    refused = steersman(*words, "--cap", 0)
    assert refused.exit_code == 1
    assert "cap is 0" in refused.stderr


def test_two_strengths_are_refused(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "-s", saved_steering)
    result = steersman(*words, "--target", 1, "--lambda", 1)
    assert result.exit_code == 1
    assert "not both" in result.stderr


def test_another_model_is_refused(other_model, saved_steering, steersman):
    result = steersman("generate", other_model, PROMPT, "-s", saved_steering)
    assert result.exit_code == 1
    assert "gpt2" in result.stderr


def test_more_than_the_context_holds_is_refused(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "-s", saved_steering)
    for new_tokens in (60, 600):
        result = steersman(*words, "--max-new-tokens", new_tokens)
        assert result.exit_code == 1
        assert "Traceback" not in result.output


def test_a_folder_without_a_steering_is_named(saved_model, tmp_path, steersman):
    result = steersman("generate", saved_model, PROMPT, "-s", tmp_path)
    assert result.exit_code == 1
    assert "not a saved steering" in result.stderr


def test_a_steering_may_be_solved_at_the_prompt(
    saved_model, saved_steering, pairs_file, tmp_path, steersman
):
    made = steersman(
        *("fit", saved_model, pairs_file, "--out", tmp_path / "s", "--method", "feature-lqr")
    )
    assert made.exit_code == 0, made.output
    words = ("generate", saved_model, PROMPT, "--max-new-tokens", 4, "--relinearize", "prompt")
    result = steersman(*words, "-s", tmp_path / "s")
    assert result.exit_code == 0, result.output
    result = steersman(*words, "-s", saved_steering)
    assert result.exit_code == 1
    assert "needs the plant's matrices" in result.stderr


def test_rules_for_tokens_are_taken_by_name(saved_model, saved_steering, steersman):
    words = ("generate", saved_model, PROMPT, "-s", saved_steering, "--max-new-tokens", 8)
    bare = steersman(*words, "--target", 0).stdout
    strong = (*words, "--target", 30)
    assert steersman(*strong, "--tokens", "generated&text:cat").exit_code == 0
    assert steersman(*strong, "--tokens", "prompt:first:1+last:2").stdout != bare
    assert steersman(*strong, "--tokens", "ids:63").stdout == bare
    for wrong, said in (("some", "prompt:first:K+last:M"), ("ids:five", "ids:ID,ID")):
        refused = steersman(*words, "--tokens", wrong)
        assert refused.exit_code == 2
        assert said in refused.stderr
    refused = steersman(*words, "--tokens", r"text:\n")
    assert refused.exit_code == 1
    assert r"contains '\n'" in refused.stderr
