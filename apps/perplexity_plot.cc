#include "apps/perplexity_plot.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "platform/output_file.h"

namespace rill::apps {
namespace {

constexpr double kWidth = 800;
constexpr double kHeight = 400;
constexpr double kLeft = 60;
constexpr double kBottom = 350;
constexpr double kTop = 50;
constexpr double kRight = 780;
constexpr std::size_t kPieces = 200;

std::vector<double> piece_means(const std::vector<double>& nll) {
  const std::size_t pieces = std::min(kPieces, nll.size());
  std::vector<double> means(pieces);
  for (std::size_t p = 0; p < pieces; ++p) {
    const std::size_t begin = nll.size() * p / pieces;
    const std::size_t end = nll.size() * (p + 1) / pieces;
    for (std::size_t i = begin; i < end; ++i) means[p] += nll[i] / static_cast<double>(end - begin);
  }
  return means;
}

}  // namespace

Status write_perplexity_plot(const std::string& path, const std::vector<double>& nll, const Text& title) {
  const std::vector<double> means = piece_means(nll);
  const double top = std::ceil(std::max(*std::max_element(means.begin(), means.end()), 1.0));
  const auto x = [&](double share) { return kLeft + share * (kRight - kLeft); };
  const auto y = [&](double nats) { return kBottom - nats / top * (kBottom - kTop); };
  std::ostringstream svg;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << ' ' << kHeight
      << "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      << "<text x=\"" << kLeft << "\" y=\"25\" font-size=\"15\">Log perplexity along the stream: " << title.view()
      << "</text>\n";
  for (double nats = 0; nats <= top; nats += top > 8 ? 2 : 1) {
    svg << "<line x1=\"" << kLeft << "\" x2=\"" << kRight << "\" y1=\"" << y(nats) << "\" y2=\"" << y(nats)
        << "\" stroke=\"#ddd\"/><text x=\"" << kLeft - 8 << "\" y=\"" << y(nats) + 4 << "\" text-anchor=\"end\">"
        << nats << "</text>\n";
  }
  for (int tick = 0; tick <= 4; ++tick) {
    svg << "<text x=\"" << x(tick / 4.0) << "\" y=\"" << kBottom + 20 << "\" text-anchor=\"middle\">"
        << nll.size() * static_cast<std::size_t>(tick) / 4 << "</text>\n";
  }
  svg << "<text x=\"" << (kLeft + kRight) / 2 << "\" y=\"" << kBottom + 40 << "\" text-anchor=\"middle\">token</text>\n"
      << "<text x=\"15\" y=\"" << (kTop + kBottom) / 2 << "\" transform=\"rotate(-90 15 " << (kTop + kBottom) / 2
      << ")\" text-anchor=\"middle\">nats</text>\n<polyline fill=\"none\" stroke=\"#0b62a4\" stroke-width=\"1.5\" "
         "points=\"";
  for (std::size_t p = 0; p < means.size(); ++p) {
    svg << x((static_cast<double>(p) + 0.5) / static_cast<double>(means.size())) << ',' << y(means[p]) << ' ';
  }
  svg << "\"/>\n</svg>\n";
  RILL_ASSIGN(OutputFile file, OutputFile::create(path));
  const std::string all = svg.str();
  RILL_TRY(file.write(std::as_bytes(std::span(all))));
  return file.commit();
}

}  // namespace rill::apps
