// What templates render to comes from Python: tests/data/jinja_goldens.json, made by jinja2 3.1.6 in the environment of
// transformers 4.57 (tests/make_jinja_goldens.py). Limits and hostile templates are Rill's own.

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "quant/jinja/render.h"

namespace rill::quant::jinja {
namespace {

using nlohmann::ordered_json;

const ordered_json& goldens() {
  static const ordered_json all = ordered_json::parse(std::ifstream(RILL_TEST_DATA_DIR "/jinja_goldens.json"));
  return all;
}

ordered_json variables() {
  ordered_json all = goldens()["variables"];
  all["strftime_now"] = goldens()["now"];
  return all;
}

Result<Rendering> render_here(std::string_view source, const Limits& limits = {}) {
  return render(source, variables(), text("template"), limits);
}

/// The error's sentence; of what renders, its text.
std::string error_of(std::string_view source, const Limits& limits = {}) {
  const auto rendering = render_here(source, limits);
  if (rendering.ok()) return "rendered: " + rendering->text;
  EXPECT_EQ(rendering.status().code(), Code::kBadInput);
  return std::string(rendering.status().message());
}

std::string repeated(std::string_view part, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += part;
  return out;
}

class JinjaTheme : public testing::TestWithParam<std::string> {};

TEST_P(JinjaTheme, RendersAsPythonDoes) {
  for (const ordered_json& golden : goldens()["renders"][GetParam()]) {
    const auto rendering = render_here(golden[0].get<std::string>());
    ASSERT_TRUE(rendering.ok()) << golden[0] << ": " << rendering.status().message();
    EXPECT_FALSE(rendering->is_refusal) << golden[0];
    EXPECT_EQ(rendering->text, golden[1].get<std::string>()) << golden[0];
  }
}

std::vector<std::string> themes() {
  std::vector<std::string> names;
  for (const auto& [name, cases] : goldens()["renders"].items()) names.push_back(name);
  return names;
}

std::string theme_name(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Goldens, JinjaTheme, testing::ValuesIn(themes()), theme_name);

TEST(Jinja, RefusesWhatPythonRefuses) {
  for (const ordered_json& source : goldens()["refused"]) {
    EXPECT_FALSE(render_here(source.get<std::string>()).ok()) << source;
  }
}

TEST(Jinja, RefusesByNameWhatItLeavesOutOfJinja2) {
  for (const ordered_json& source : goldens()["unsupported"]) {
    EXPECT_NE(error_of(source.get<std::string>()).find("expected what Rill knows of Jinja2"), std::string::npos)
        << source << ": " << error_of(source.get<std::string>());
  }
}

TEST(Jinja, ReadsWhatItLeavesOutAsLongAsItIsNotRun) {
  for (const std::string_view source :
       {"{{ 1.5 / 2 ** 3 }}", "{{ 1|tojson(indent=4) }}", "{{ 1 is divisibleby 3 }}", "{{ f(*a, **b) }}",
        "{{ 9223372036854775808 }}", "{% for a, (b, c) in d.items() if a %}{% else %}{% endfor %}",
        "{% set a, b = 1, 2 %}", "{% call(x) f() %}{% endcall %}", "{{ a[::2] if b|sort else +c }}"}) {
    const std::string guarded = "a{% if false %}" + std::string(source) + "{% endif %}b";
    EXPECT_EQ(render_here(guarded)->text, "ab") << source;
  }
}

TEST(Jinja, TellsARefusalFromATemplateThatCannotBeRead) {
  const auto refusal = render_here("a{{ raise_exception('Only user and ' ~ 'assistant') }}b");
  ASSERT_TRUE(refusal.ok());
  EXPECT_TRUE(refusal->is_refusal);
  EXPECT_EQ(refusal->text, "Only user and assistant");
  EXPECT_FALSE(render_here("{{ raise_exception(missing.x) }}").ok());
}

TEST(Jinja, NamesWhatIsOutsideTheSubsetAndItsLine) {
  struct Case {
    std::string_view source, expected;
  };
  const Case cases[] = {
      {"\n\n{{ 1|pprint }}", "template, line 3: the filter \"pprint\", expected what Rill knows of Jinja2"},
      {"{% if yes %}\n{{ 1 is filter }}{% endif %}", "line 2: the test \"filter\""},
      {"a\r\nb\r{% include 'x' %}", "line 3: the statement \"include\""},
      {"{% for x in [] recursive %}{% endfor %}", "line 1: a recursive loop"},
      {"{{ 'a'.format(1) }}", "the attribute \"format\" of a str"},
      {"{{ d.copy() }}", "the attribute \"copy\" of a dict"},
      {"{{ ''.__class__ }}", "the attribute \"__class__\""},
      {"{{ 'a' % 1 }}", "the operator % between a str and a int"},
      {"{{ lipsum() }}", "the name \"lipsum\""},
      {"{{ loop.cycle(1) }}{% for x in [1] %}{{ loop.cycle(1) }}{% endfor %}", "\"loop\", which is undefined"},
      {"{% for x in [1] %}{{ loop.cycle(1) }}{% endfor %}", "the attribute \"cycle\" of loop"},
      {"{{ [1]|select }}", "the text of a iterator"},
      {"{% set x = [1]|select %}{{ x|list|length }}{{ x|list|length }}", "a second pass over an iterator"},
      {"{{ [1] }}", "the text of a list"},
      {"{{ {} }}", "the text of a dict"},
      {"{{ 'É'|lower }}", "upper and lower case of \"É\""},
      {"{{ f(**d) }}", "an argument with *"},
      {"\n{{ 1.5 }}", "line 2: the number 1.5"},
      {"{{ 1e3 }}", "the number 1e3"},
      {"{{ 1 / 2 }}", "the operator /"},
      {"{{ 2 ** 2 }}", "the operator **"},
      {"{{ 'a' * 3 }}", "the operator * between a str and a int"},
      {"{{ [1] == [1] }}", "a comparison of a list and a list"},
      {"{{ 'a' < 'b' }}", "an order of a str and a str"},
      {"{{ d|tojson }}", "the filter \"tojson\""},
      {"{{ 'a'|safe }}", "the filter \"safe\""},
      {"{{ d.items() }}", "the attribute \"items\" of a dict"},
      {"{{ 'a b'.split() }}", "0 arguments of split()"},
      {"{{ 1|default(value=2) }}", "the argument \"value\" of default()"},
      {"{{ dict(a=1) }}", "the name \"dict\""},
      {"{% for a, b in [[1, 2]] %}{% endfor %}", "an assignment to several names"},
      {"{% for a in [1] if a %}{% endfor %}", "a loop with a condition"},
      {"{% for a in [1] %}{% else %}{% endfor %}", "a loop with an else"},
      {"{% macro f() %}{% endmacro %}\n{% call f() %}{% endcall %}", "line 2: a call block"},
      {"{% raw %}{% endraw %}", "the statement \"raw\""},
      {"{{ ü }}", "\"ü\" in an expression"},
      {"{{ '\\u00e9' }}", "the escape \"\\u\""},
  };
  for (const Case& c : cases) EXPECT_NE(error_of(c.source).find(c.expected), std::string::npos) << error_of(c.source);
}

TEST(Jinja, HasNoClockOfItsOwn) {
  const ordered_json nothing = ordered_json::object();
  EXPECT_FALSE(render("{{ strftime_now('%Y') }}", nothing, text("t")).ok());
  EXPECT_EQ(render("{{ strftime_now is defined }}", nothing, text("t"))->text, "False");
  EXPECT_EQ(render("{{ strftime_now is defined }}", {{"strftime_now", 0}}, text("t"))->text, "True");
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}", {{"strftime_now", 0}}, text("t"))->text, "01 Jan 1970");
  EXPECT_NE(error_of("{{ strftime_now('%c') }}").find("the time's format \"%c\""), std::string::npos);
  EXPECT_FALSE(render_here("{{ strftime_now('%') }}").ok());
}

TEST(Jinja, TakesNoMoreThanItsLimits) {
  const std::string hundred(100, 'x');
  EXPECT_NE(error_of(hundred, {.template_bytes = 99}).find("100 bytes of template, expected at most 99"),
            std::string::npos);
  EXPECT_EQ(render_here(hundred, {.template_bytes = 100})->text, hundred);
  EXPECT_NE(error_of(hundred, {.output_bytes = 99}).find("a text of more than 99 bytes"), std::string::npos);
  EXPECT_EQ(render_here(hundred, {.output_bytes = 100})->text, hundred);
  const std::string loop = "{% for i in range(1000) %}{% endfor %}";
  EXPECT_NE(error_of(loop, {.steps = 1000}).find("more than 1000 steps"), std::string::npos);
  EXPECT_TRUE(render_here(loop, {.steps = 3000}).ok());
  EXPECT_NE(error_of("{{ 'x' ~ '" + std::string(7900, 'y') + "' }}", {.value_bytes = 8000})
                .find("values of more than 8000 bytes"),
            std::string::npos);
  EXPECT_TRUE(render_here("{{ 'x' ~ '" + std::string(500, 'y') + "' }}", {.value_bytes = 8000}).ok());
  EXPECT_NE(error_of("{{ ((((1)))) }}", {.depth = 4}).find("more than 4 blocks and brackets"), std::string::npos);
  EXPECT_TRUE(render_here("{{ ((1)) }}", {.depth = 6}).ok());
}

TEST(Jinja, RefusesTemplatesThatAreDeep) {
  struct Nest {
    std::string_view open, close;
  };
  const Nest nests[] = {{"(", ")"},    {"[", "]"},           {"{1:", "}"},      {"not ", ""},
                        {"-", ""},     {"1 if 1 else ", ""}, {"x(", ")"},       {"x[", "]"},
                        {"[1, ", "]"}, {"1 + (", ")"},       {"x is eq(", ")"}, {"x|d(", ")"}};
  for (const Nest& nest : nests) {
    const std::string source = "{{ " + repeated(nest.open, 3'000) + "1" + repeated(nest.close, 3'000) + " }}";
    EXPECT_NE(error_of(source).find("inside one another"), std::string::npos) << nest.open;
    EXPECT_FALSE(render_here("{{ " + repeated(nest.open, 3'000)).ok()) << nest.open;
  }
  for (const std::string_view part :
       {"{% if 1 %}", "{% for x in y %}", "{% macro f() %}", "{% filter upper %}", "{% set x %}", "{% call f() %}"}) {
    EXPECT_NE(error_of(repeated(part, 3'000)).find("inside one another"), std::string::npos) << part;
  }
  for (const std::string_view part : {".a", "[0]", "()", "|list"}) {
    EXPECT_NE(error_of("{{ x" + repeated(part, 3'000) + " }}").find("inside one another"), std::string::npos) << part;
  }
  const std::string target = "{% set " + repeated("(", 3'000) + "a" + repeated(")", 3'000) + " = 1 %}";
  EXPECT_NE(error_of(target).find("inside one another"), std::string::npos);
}

TEST(Jinja, TakesLongChainsOfOneOperator) {
  for (const std::string_view part : {"1 + ", "1 or ", "0 ~ ", "1 and ", "1 * ", "1 == "}) {
    EXPECT_TRUE(render_here("{{ " + repeated(part, 5'000) + "1 }}").ok()) << part;
  }
}

TEST(Jinja, RefusesRecursionWithoutAnEnd) {
  EXPECT_NE(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("calls inside one another"),
            std::string::npos);
  EXPECT_NE(error_of("{% macro f(n=f()) %}{% endmacro %}{{ f() }}").find("calls inside one another"),
            std::string::npos);
  const std::string tower =
      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}";
  EXPECT_NE(error_of(tower).find("values inside one another"), std::string::npos);
  EXPECT_FALSE(render_here("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}").ok());
}

TEST(Jinja, JoinsManyLiteralsInProportion) {
  const auto start = std::chrono::steady_clock::now();
  const auto rendering = render_here("{{ " + repeated("\"a\"", 20'000) + " }}");
  ASSERT_TRUE(rendering.ok()) << rendering.status().message();
  EXPECT_EQ(rendering->text, std::string(20'000, 'a'));
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(10));  // milliseconds; each copy of all before took 200 MB
}

TEST(Jinja, RefusesWorkOutOfProportion) {
  const auto start = std::chrono::steady_clock::now();
  const std::string big = "{% set b = '" + std::string(60'000, 'a') + "' %}";
  const std::string doubled = "{% set ns = namespace(x=[1], s='') %}";
  const std::string hostile[] = {
      "{{ range(1000000000000000000) }}",
      "{{ range(99999)|list|length }}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% for a in range(99999) %}{{ 'x' ~ '" + std::string(9999, 'y') + "' }}{% endfor %}",
      doubled + "{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
      doubled + "{% for i in range(99999) %}{% set ns.s = ns.s + 'xxxxxxxxxxxx' %}{% endfor %}",
      big + "{% for i in range(99999) %}{{ b|length }}{% endfor %}",
      big + "{% for i in range(99999) %}{{ 'q' in b }}{% endfor %}",
      big + "{% for i in range(99999) %}{{ b[i] }}{% endfor %}",
      big + "{% for i in range(99999) %}{{ b[1:2] }}{% endfor %}",
      big + "{% for i in range(99999) %}{{ b.strip('q') }}{% endfor %}",
      big + "{% for i in range(99999) %}{{ b.strip(b) }}{% endfor %}",
      big + "{% for i in range(99999) %}{{ b.upper()|capitalize|trim == b }}{% endfor %}",
      big + "{{ b.split('a')|join(b) }}",
      big + "{{ b|replace('a', b) }}",
      big + "{% set b = b ~ b ~ b ~ b %}{{ b|list|length }}",
      "{% for i in range(999) %}{% for x in range(99999) %}{% endfor %}{% endfor %}",
      "{% for i in range(999) %}{% set x = range(99999)|select('number')|list %}{% endfor %}",
      "{% macro f() %}{% for i in range(9) %}{{ f() }}{% endfor %}{% endmacro %}{{ f() }}",
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
  };
  for (const std::string& source : hostile) {
    const std::string error = error_of(source);
    const bool is_limit = error.find("expected no more than that") != std::string::npos;
    EXPECT_TRUE(is_limit || error.find("a range of more than 100000") != std::string::npos)
        << source.substr(0, 200) << ": " << error.substr(0, 200);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::minutes(1));  // seconds, even with sanitizers
}

TEST(Jinja, RefusesIntegersBeyond64Bits) {
  for (const std::string_view source :
       {"{{ 9223372036854775808 }}", "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}",
        "{{ 9223372036854775807 * 2 }}", "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
        "{{ '9223372036854775808'|int }}"}) {
    EXPECT_FALSE(render_here(source).ok()) << source;
  }
  EXPECT_EQ(render_here("{{ (-9223372036854775807 - 1) % -1 }}")->text, "0");
  EXPECT_FALSE(render("{{ x }}", {{"x", 18446744073709551615U}}, text("t")).ok());
  EXPECT_EQ(render("{{ x }}", {{"x", 9223372036854775807U}}, text("t"))->text, "9223372036854775807");
}

TEST(Jinja, RefusesTextThatIsNoUtf8) {
  for (const std::string_view broken : {"\xff", "{{ '\xc3' }}", "{# \xed\xa0\x80 #}", "\xf5\x80\x80\x80"}) {
    EXPECT_NE(error_of(broken).find("no UTF-8"), std::string::npos);
  }
  EXPECT_FALSE(render("{{ x }}", {{"x", "\xc3"}}, text("t")).ok());
  EXPECT_FALSE(render("{{ x }}", {{"x", {{"\xff", 1}}}}, text("t")).ok());
}

TEST(Jinja, TakesTemplatesThatAreCutOffAnywhere) {
  const std::string whole =
      "a{#- c -#}{%- macro f(a, b=[1, {'x': 'y\\n'}]) -%}{{ a[1:2]|join(',') if a is not none else -1 }}"
      "{%- endmacro %}{% for k in d %}{{ f(k, b=[2]) ~ loop.index }}{% endfor %}";
  for (std::size_t end = 0; end <= whole.size(); ++end) static_cast<void>(render_here(whole.substr(0, end)).ok());
  for (std::size_t at = 0; at < whole.size(); ++at)
    static_cast<void>(render_here(whole.substr(0, at) + whole.substr(at + 1)).ok());
}

}  // namespace
}  // namespace rill::quant::jinja
