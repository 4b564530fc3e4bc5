import torch

from prismrec.nn.contrast import view_contrast


def test_value_and_gradient_are_those_of_the_sum_over_the_batch(float64: None) -> None:
    torch.manual_seed(0)
    first, second = (torch.randn(13, 5, requires_grad=True) for _ in range(2))
    nodes = torch.tensor([3, 0, 3, 3, 12, 0])
    contrast = view_contrast(first, second, nodes, 0.3)
    cosines = torch.cosine_similarity(first[nodes, None], second[None], dim=2) / 0.3
    plain = sum(cosines[b].logsumexp(0) - cosines[b, node] for b, node in enumerate(nodes.tolist()))
    torch.testing.assert_close(contrast, plain)
    here, there = torch.autograd.grad(contrast, (first, second)), torch.autograd.grad(plain, (first, second))
    torch.testing.assert_close(here, there)


def test_scale_of_rows_does_not_matter() -> None:
    torch.manual_seed(0)
    first, second, nodes = torch.randn(7, 3), torch.randn(7, 3), torch.tensor([1, 4])
    scaled = view_contrast(first * 5, second * torch.rand(7, 1), nodes, 0.5)
    torch.testing.assert_close(scaled, view_contrast(first, second, nodes, 0.5))
